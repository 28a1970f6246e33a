/** Calls a subscriber whenever the numbers it asked for change. */

import type { LiveEvent } from "./event_stream.js";
import type { LiveStore } from "./live_store.js";
import type { LiveCounts, Subscription } from "./types.js";

export const subscribe = (store: LiveStore, subscription: Subscription): void => {
  const [callback, { path } = {}] = subscription;
  let lastSent = "";
  store.add(subscription, () => {
    const count = store.on(path);
    if (count == null) return;
    const { activeVisitors, totalPageViews, uniqueVisitors, asOf } = store.site as LiveEvent;
    const counts: LiveCounts = {
      activeVisitors,
      ...(path && { activeOnPath: count }),
      totalPageViews,
      uniqueVisitors,
      asOf,
      isConnected: !!store.isConnected,
    };
    if (lastSent == (lastSent = JSON.stringify({ ...counts, asOf: 0 }))) return;
    try {
      callback(counts);
    } catch (error) {
      reportError(error); // a failing subscriber must not stop the others
    }
  });
};
