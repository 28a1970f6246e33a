/**
 * What the client loads when it is needed: live numbers, locks for browsers without, and rules about
 * who is not counted.
 */

import { liveStoreOf } from "./live_store.js";
import { renderCounts } from "./elements.js";
import { subscribe } from "./subscription.js";
import type { LazyModule } from "./types.js";

export { request } from "./locks.js";
export { pathBy } from "./path.js";

export const live: LazyModule["live"] = (url, subscription, isWanted) => {
  if (!url) return; // the script tag names no site
  const store = liveStoreOf(url);
  if (!subscription) renderCounts(store);
  else if (isWanted) subscribe(store, subscription);
  else store.remove(subscription);
};
