/** Normalizes paths, and applies the rules for who is not counted. */

import type { LazyModule } from "./types.js";

const decode = (escapes: string): string => {
  try {
    return decodeURIComponent(escapes);
  } catch {
    return escapes; // not UTF-8
  }
};

/** A path as the service stores it: escapes decoded but for those of `/ % ? #`. */
export const normalizePath = (path: string): string =>
  path
    .replace(/[?#].*/, "")
    .replace(/(%(?!2[35f]|3f)..)+/gi, decode)
    .replace(/(.)\/$/, "$1")
    .normalize();

export const path: LazyModule["path"] = ({
  site,
  allowLocalhost,
  respectDnt,
  hash,
  exclude = "",
}) => {
  const isLocalhost = /^(localhost$|127\.|\[::1|$)/.test(location.hostname);
  if (!site) console.warn("presence: data-site is missing");
  else if (isLocalhost && allowLocalhost == null)
    console.info(
      "presence: localhost is not counted without data-allow-localhost (npm: allowLocalhost)",
    );
  return () => {
    const path =
      "/" + (hash != null ? location.hash : location.pathname).replace(/^#?!?\/*|[?#].*/g, "");
    return (
      site &&
      (allowLocalhost != null ||
        !(navigator.webdriver || isLocalhost)) &&
      !(
        respectDnt != null &&
        ((navigator.doNotTrack as unknown as number) > 0 || navigator.globalPrivacyControl)
      ) &&
      !exclude
        .split(/[\s,]+/)
        .some(
          (entry) =>
            normalizePath(path) == normalizePath(entry) ||
            (path + "/").slice(0, entry.length - 1) + "*" == entry,
        ) &&
      path
    );
  };
};
