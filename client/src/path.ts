/** Who is not counted, and what a path is, on sites that say so; most do not. */

import type { LazyModule } from "./types.js";

/** A path as the service keeps it. */
export const normalizePath = (path: string): string =>
  path.replace(/[?#].*/, "").replace(/(.)\/$/, "$1").normalize();

export const pathBy: LazyModule["pathBy"] = ({
  site,
  allowLocalhost,
  respectDnt,
  hash,
  exclude = "",
}) => {
  if (!site) console.warn("presence: no data-site");
  return () => {
    const path =
      "/" + (hash != null ? location.hash : location.pathname).replace(/^#?!?\/*|[?#].*/g, "");
    return (
      site &&
      (allowLocalhost != null ||
        !(navigator.webdriver || /^(localhost$|127\.|\[::1|$)/.test(location.hostname))) &&
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
