/** Where this is tried out: the client does not count pages on localhost, unless it is told to. */

import { byId } from "./dom.js";

/** Whether this page is on the machine of whoever looks at it. */
export const isLocalhost = () => /^(localhost$|127\.|\[::1)/.test(location.hostname);

/** Says why the tag that is shown has what a live one would not. */
export function showLocalhostNote() {
  byId("localhost-note").hidden = !isLocalhost();
  byId("production-note").hidden = isLocalhost();
}
