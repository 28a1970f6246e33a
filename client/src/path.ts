/** The rules for who is not counted. */

import { normalizePath } from "./normalize_path.js";
import type { LazyModule } from "./types.js";

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
