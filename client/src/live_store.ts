/** The live numbers of a site, shared by all listeners of the page over one stream. */

import { createEventStream, type LiveEvent } from "./event_stream.js";
import { fetchJson } from "./fetch_json.js";
import { normalizePath } from "./normalize_path.js";

export interface LiveStore {
  /** False while disconnected; the numbers are the last ones known. */
  isConnected?: boolean; // unknown as long as `site` is
  /** The site's numbers; undefined until they are known. */
  site?: LiveEvent | 0;
  /** Calls `listener` on every change, and at once if the numbers are known; `key` removes it. */
  add(key: unknown, listener: () => void): void;
  remove(key: unknown): void;
  /**
   * Visitors on a page, or on the site without one. Null or undefined if unknown; that of a page is
   * fetched, and listeners are called.
   */
  on(path?: string): number | null | undefined;
}

const createLiveStore = (url: string): LiveStore => {
  const listeners = new Map<unknown, () => void>();
  /** By path; null while the count is fetched. */
  let pages = new Map<string, number | null | undefined>();
  /** Whether the snapshot lists all pages, so that others have nobody. */
  let isComplete: boolean | undefined;

  const setWanted = createEventStream(url, (event, isSnapshot) => {
    if (event) {
      if (isSnapshot) pages = new Map();
      let sum = 0;
      for (const { path, count } of event.activeByPath) {
        pages.set(path, count);
        sum += count;
      }
      if (isSnapshot) isComplete = sum >= event.activeVisitors;
      if (store.site || isSnapshot) store.site = event;
    }
    store.isConnected = !!event;
    notify();
  });

  const notify = () => {
    listeners.forEach((listener) => listener());
  };


  const store: LiveStore = {
    add(key, listener) {
      listeners.set(key, listener);
      if (store.site) listener();
      setWanted(true);
    },
    remove(key) {
      listeners.delete(key);
      if (listeners.size) return;
      setWanted(false);
      store.site = 0; // stale by the time somebody listens again
    },
    on(path) {
      if (!store.site || !path) return (store.site as LiveEvent | undefined)?.activeVisitors; // 0 has none
      const cleaned = normalizePath(path);
      const known = pages;
      const count = known.get(cleaned);
      if (count !== undefined) return count;
      if (isComplete) return 0;
      // The snapshot lists only the busiest pages.
      known.set(cleaned, null);
      void fetchJson(`${url}active?path=${encodeURIComponent(cleaned)}`).then((answer) => {
        // A count that the stream has sent in the meantime is newer; without one, the next event retries.
        known.get(cleaned) ?? known.set(cleaned, answer?.activeVisitors);
        if (answer) notify();
      });
      return undefined;
    },
  };
  return store;
};

const stores: Record<string, LiveStore> = {};

/** The store of a site; one per page. */
export const liveStoreOf = (url: string): LiveStore => (stores[url] ??= createLiveStore(url));
