/** The live numbers of a site, shared by all listeners of the page over one stream. */

import { createEventStream, type LiveEvent } from "./event_stream.js";
import { normalizePath } from "./path.js";

export interface LiveStore {
  /** False while disconnected; the numbers are the last ones known. */
  isConnected: boolean;
  /** The site's numbers; undefined until they are known. */
  site: LiveEvent | undefined;
  /** Calls `listener` on every change, and at once if the numbers are known; `key` removes it. */
  add(key: unknown, listener: () => void): void;
  remove(key: unknown): void;
  /** Visitors on a page. If unknown: undefined, fetched, and listeners are called. */
  on(path: string): number | undefined;
}

const createLiveStore = (url: string): LiveStore => {
  const listeners = new Map<unknown, () => void>();
  const pending = new Set<string>();
  let pages = new Map<string, number>();
  /** Whether the snapshot lists all pages, so that others have nobody. */
  let isComplete = false;

  const setWanted = createEventStream(`${url}live`, (event, isSnapshot) => {
    if (event) {
      if (isSnapshot) {
        pages = new Map();
        isComplete =
          event.activeByPath.reduce((sum, { count }) => sum + count, 0) >= event.activeVisitors;
      }
      for (const { path, count } of event.activeByPath) pages.set(path, count);
      if (isSnapshot || store.site) store.site = event;
    }
    store.isConnected = !!event;
    notify();
  });

  const notify = () => {
    for (const listener of [...listeners.values()]) listener();
  };

  /** Fetches the count of a page that the snapshot, which has only the busiest, does not list. */
  const fetchCount = async (path: string, known: typeof pages) => {
    if (pending.has(path)) return;
    pending.add(path);
    try {
      const answer = await fetch(`${url}active?path=${encodeURIComponent(path)}`, {
        credentials: "omit",
        referrer: "",
      });
      const { activeVisitors } = await answer.json();
      // A count that the stream has sent in the meantime is newer.
      if (answer.ok && !known.has(path)) known.set(path, activeVisitors);
    } catch {
      // Retried on the next event.
    }
    pending.delete(path);
    if (known == pages && known.has(path)) notify();
  };

  const store: LiveStore = {
    isConnected: false,
    site: undefined,
    add(key, listener) {
      listeners.set(key, listener);
      if (store.site) listener();
      setWanted(true);
    },
    remove(key) {
      listeners.delete(key);
      if (listeners.size == 0) {
        setWanted(false);
        store.site = undefined; // stale by the time somebody listens again
      }
    },
    on(path) {
      const cleaned = normalizePath(path);
      if (!store.site) return undefined;
      const count = pages.get(cleaned) ?? (isComplete ? 0 : undefined);
      if (count == null) void fetchCount(cleaned, pages);
      return count;
    },
  };
  return store;
};

const stores = new Map<string, LiveStore>();

/** The store of a site; one per page. */
export const liveStoreOf = (url: string): LiveStore => {
  const key = `${url}`;
  const store = stores.get(key) ?? createLiveStore(key);
  stores.set(key, store);
  return store;
};
