/** What browsers have and TypeScript's own declarations have not. */

interface Navigator {
  readonly doNotTrack?: string | null;
  readonly globalPrivacyControl?: boolean;
}

interface Window {
  /** The script tag's client. */
  presence?: import("./types.js").Presence;
}
