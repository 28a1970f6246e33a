/** Browser properties missing from TypeScript's declarations. */

interface Navigator {
  readonly doNotTrack?: string | null;
  readonly globalPrivacyControl?: boolean;
}

interface Window {
  /** The script tag's client, or before it is there a stand-in with a queue of calls. */
  presence?: Partial<import("./types.js").Presence> & { readonly queue?: unknown };
}
