/** Browser properties missing from TypeScript's declarations. */

interface Navigator {
  readonly doNotTrack?: string | null;
  readonly globalPrivacyControl?: boolean;
}

interface Window {
  /** The script tag's client. */
  presence?: import("./types.js").Presence;
}
