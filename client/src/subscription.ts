/** Calls a subscriber whenever the numbers it asked for change. */

import type { LiveStore } from "./live_store.js";
import type { LiveCounts, Subscription } from "./types.js";

export const subscribe = (store: LiveStore, subscription: Subscription): void => {
  const [callback, { path } = {}] = subscription;
  let lastSent = "";
  store.add(subscription, () => {
    const counts = selectCounts(store, path);
    if (!counts || lastSent == (lastSent = JSON.stringify({ ...counts, asOf: 0 }))) return;
    try {
      callback(counts);
    } catch (error) {
      reportError(error); // a failing subscriber must not stop the others
    }
  });
};

const selectCounts = (store: LiveStore, path: string | undefined): LiveCounts | undefined => {
  const activeOnPath = path ? store.on(path) : undefined;
  if (!store.site || (path && activeOnPath == null)) return undefined;
  const { activeVisitors, totalPageViews, uniqueVisitors, asOf } = store.site;
  return {
    activeVisitors,
    ...(activeOnPath != null && { activeOnPath }),
    totalPageViews,
    uniqueVisitors,
    asOf,
    isConnected: !!store.isConnected,
  };
};
