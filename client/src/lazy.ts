/**
 * The lazy-loaded part of the client: live numbers, locks for browsers without Web Locks, and the
 * rules for who is not counted.
 */

import { liveStoreOf } from "./live_store.js";
import { renderCounts } from "./elements.js";
import { subscribe } from "./subscription.js";
import type { LazyModule } from "./types.js";

export { request } from "./locks.js";
export { pathBy } from "./path.js";

export const live: LazyModule["live"] = (url, subscription, isWanted) => {
  if (!url) return; // the script tag has no data-site
  const store = liveStoreOf(url);
  if (!subscription) renderCounts(store);
  else if (isWanted) subscribe(store, subscription);
  else store.remove(subscription);
};
