/** What the client loads when it is needed: live numbers, and locks for browsers without. */

import { counterOf } from "./counter.js";
import { showCounts } from "./elements.js";
import { subscribe } from "./subscription.js";
import type { More } from "./types.js";

export { request } from "./locks.js";

export const live: More["live"] = (url, subscription, isWanted) => {
  const counter = counterOf(url);
  if (!subscription) showCounts(counter);
  else if (isWanted) subscribe(counter, subscription);
  else counter.remove(subscription);
};
