/** The live numbers of a site for whoever listens on this page, over one stream. */

import { createStream, type LiveEvent } from "./event_stream.js";
import { cleanPath } from "./path.js";

export interface Counter {
  /** False while the connection is lost: the numbers are the last ones known. */
  isConnected: boolean;
  /** The site's numbers; undefined until they are known. */
  site: LiveEvent | undefined;
  /** Calls `listener` with every change, and now if there are numbers. `key` ends it. */
  add(key: unknown, listener: () => void): void;
  remove(key: unknown): void;
  /** Visitors on a page; undefined until they are known, and then listeners are called. */
  on(path: string): number | undefined;
}

const createCounter = (url: string): Counter => {
  const listeners = new Map<unknown, () => void>();
  const asking = new Set<string>();
  let pages = new Map<string, number>();
  /** Whether a page that is not listed has nobody on it, and is not just one too many to list. */
  let isComplete = false;

  const want = createStream(`${url}live`, (event, isSnapshot) => {
    if (event) {
      if (isSnapshot) {
        pages = new Map();
        isComplete =
          event.activeByPath.reduce((sum, { count }) => sum + count, 0) >= event.activeVisitors;
      }
      for (const { path, count } of event.activeByPath) pages.set(path, count);
      if (isSnapshot || counter.site) counter.site = event;
    }
    counter.isConnected = !!event;
    tell();
  });

  const tell = () => {
    for (const listener of [...listeners.values()]) listener();
  };

  /** A stream lists the busiest pages only: of another it tells what changes, and not what is. */
  const ask = async (path: string, known: typeof pages) => {
    if (asking.has(path)) return;
    asking.add(path);
    try {
      const answer = await fetch(`${url}active?path=${encodeURIComponent(path)}`, {
        credentials: "omit",
        referrer: "",
      });
      const { activeVisitors } = await answer.json();
      // What the stream has said of the page meanwhile is newer.
      if (answer.ok && !known.has(path)) known.set(path, activeVisitors);
    } catch {
      // Asked again with the next event.
    }
    asking.delete(path);
    if (known == pages && known.has(path)) tell();
  };

  const counter: Counter = {
    isConnected: false,
    site: undefined,
    add(key, listener) {
      listeners.set(key, listener);
      if (counter.site) listener();
      want(true);
    },
    remove(key) {
      listeners.delete(key);
      if (listeners.size == 0) {
        want(false);
        counter.site = undefined; // it would be old when somebody listens again
      }
    },
    on(path) {
      const cleaned = cleanPath(path);
      if (!counter.site) return undefined;
      const count = pages.get(cleaned) ?? (isComplete ? 0 : undefined);
      if (count == null) void ask(cleaned, pages);
      return count;
    },
  };
  return counter;
};

const counters = new Map<string, Counter>();

/** The one counter of a site on this page. */
export const counterOf = (url: string): Counter => {
  const key = `${url}`;
  const counter = counters.get(key) ?? createCounter(key);
  counters.set(key, counter);
  return counter;
};
