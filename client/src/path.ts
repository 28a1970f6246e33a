/** Normalizes paths, and applies the rules for who is not counted. */

import type { LazyModule } from "./types.js";

/** Decodes one character; what is not UTF-8 stays escaped, and what would be part of the syntax. */
const decode = (escapes: string): string => {
  try {
    return decodeURIComponent(escapes).replace(/[/%?#]/, encodeURIComponent);
  } catch {
    return decode(escapes.slice(0, -3)) + escapes.slice(-3).toUpperCase();
  }
};

/** A path as the service stores it: tests/paths.json says which is which. */
export const normalizePath = (path: string): string => {
  const cleaned = path
    .replace(/(.)\/*([?#][^]*)?$/, "$1")
    .replace(/%[\da-f]{2}(%[89ab][\da-f]){0,3}/gi, decode);
  return path == cleaned ? path.normalize() : normalizePath(cleaned); // `%%34%31` is `%41` is `A`
};

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
    const path = normalizePath(
      "/" + (hash != null ? location.hash : location.pathname).replace(/^#?!?\/*/, ""),
    );
    return (
      site &&
      (allowLocalhost != null || !(navigator.webdriver || isLocalhost)) &&
      !(
        respectDnt != null &&
        ((navigator.doNotTrack as unknown as number) > 0 || navigator.globalPrivacyControl)
      ) &&
      !exclude
        .split(/[\s,]+/)
        .map(normalizePath)
        .some((entry) => path == entry || (path + "/").slice(0, entry.length - 1) + "*" == entry) &&
      path
    );
  };
};
