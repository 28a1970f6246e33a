/**
 * What the client loads when it is needed: live numbers, locks for browsers without, and rules about
 * who is not counted.
 */

import { counterOf } from "./live_store.js";
import { showCounts } from "./elements.js";
import { subscribe } from "./subscription.js";
import type { More } from "./types.js";

export { request } from "./locks.js";
export { pathBy } from "./path.js";

export const live: More["live"] = (url, subscription, isWanted) => {
  if (!url) return; // the script tag names no site
  const counter = counterOf(url);
  if (!subscription) showCounts(counter);
  else if (isWanted) subscribe(counter, subscription);
  else counter.remove(subscription);
};
