/** The client does not count pages on localhost without `data-allow-localhost`. */

import { byId } from "./dom.js";

/** Whether this page is served from localhost. */
export const isLocalhost = () => /^(localhost$|127\.|\[::1)/.test(location.hostname);

/** Explains why the script tag has `data-allow-localhost`, or that it may need it. */
export function showLocalhostNote() {
  byId("localhost-note").hidden = !isLocalhost();
  byId("production-note").hidden = isLocalhost();
}
