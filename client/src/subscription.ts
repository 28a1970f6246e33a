/** What a subscriber is told, and when: the numbers it asked for, whenever they are others. */

import type { Counter } from "./live_store.js";
import type { LiveCounts, Subscription } from "./types.js";

export const subscribe = (counter: Counter, subscription: Subscription): void => {
  const [callback, { path } = {}] = subscription;
  let told = "";
  counter.add(subscription, () => {
    const counts = countsOf(counter, path);
    const news = JSON.stringify({ ...counts, asOf: 0 });
    if (!counts || news == told) return;
    told = news;
    try {
      callback(counts);
    } catch (error) {
      reportError(error); // it is the subscriber's own, and must not keep the others waiting
    }
  });
};

const countsOf = (counter: Counter, path: string | undefined): LiveCounts | undefined => {
  const activeOnPath = path ? counter.on(path) : undefined;
  if (!counter.site || (path && activeOnPath == null)) return undefined;
  const { activeVisitors, totalPageViews, uniqueVisitors, asOf } = counter.site;
  return {
    activeVisitors,
    ...(activeOnPath != null && { activeOnPath }),
    totalPageViews,
    uniqueVisitors,
    asOf,
    isConnected: counter.isConnected,
  };
};
