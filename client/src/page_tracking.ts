/** Counting the visitor for as long as a part of the page is shown. */

import { createPresence, currentPresence, type Presence, type PresenceOptions } from "./index.js";

/** How many of them run with a client. */
const running = new WeakMap<Presence, number>();

/**
 * Counts the visitor until the function that it returns is called: sends heartbeats on an interval and
 * on every change of the path. Without options the client that runs on the page does. Of several at
 * once, such as those of a layout and a page, or of a page during its exit animation, the last to end
 * reports that the visitor has left.
 */
export const trackPage = (options?: PresenceOptions): (() => void) => {
  const presence = options ? createPresence(options) : currentPresence();
  const add = (count: number) => {
    const total = (running.get(presence) ?? 0) + count;
    running.set(presence, total);
    return total;
  };
  let isEnded = false;
  add(1);
  presence.heartbeat();
  return () => {
    if (!isEnded && add(-1) == 0) presence.leave();
    isEnded = true;
  };
};
