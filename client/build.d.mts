export interface BuiltFile {
  readonly name: string;
  readonly entry: string;
  readonly isTag: boolean;
  readonly saysSource?: boolean;
  readonly maxBytes: number;
  readonly maxGzipBytes: number;
}
export const FILES: readonly BuiltFile[];
export const bundle: (file: BuiltFile, isMinified?: boolean) => Promise<string>;
