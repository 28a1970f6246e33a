/**
 * The lazy-loaded part of the client: live numbers, the rules for who is not counted, and what
 * replaces Web Locks and the Navigation API in browsers without them.
 */

import { liveStoreOf } from "./live_store.js";
import { renderCounts } from "./elements.js";
import { subscribe } from "./subscription.js";
import type { LazyModule } from "./types.js";

export { request } from "./locks.js";
export { path } from "./path.js";
export { watch } from "./history.js";

export const live: LazyModule["live"] = (url, subscription, isWanted) => {
  if (!url) return; // the script tag has no data-site
  const store = liveStoreOf(url);
  if (!subscription) renderCounts(store);
  else if (isWanted) subscribe(store, subscription);
  else store.remove(subscription);
};
