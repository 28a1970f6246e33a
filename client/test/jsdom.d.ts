/** As much of jsdom as the tests use; it has no declarations of its own. */
declare module "jsdom" {
  export class JSDOM {
    constructor(html: string, options: Record<string, unknown>);
    readonly window: Window & typeof globalThis & { eval(script: string): unknown };
  }
}
