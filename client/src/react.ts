/** React hooks; without options they use the script tag's client. */

import { useEffect, useMemo, useRef, useSyncExternalStore, type DependencyList } from "react";
import type { LiveCounts, LiveUsers, PresenceOptions } from "./index.js";
import {
  CONNECTING,
  watchCounts,
  watchPeople,
  type CountsOptions,
  type Live,
  type UsersOptions,
} from "./live_state.js";
import { trackPage } from "./page_tracking.js";

export type { CountsOptions, Live, UsersOptions } from "./live_state.js";

/**
 * Counts the visitor while the component is mounted: sends heartbeats on an interval and on every
 * change of the path. Works with any router. Of several components at once, such as a layout and a
 * page, or a page during its exit animation, the last to unmount reports that the visitor has left.
 * With another `site` or `api` the visitor leaves the old one; other options are those at the start.
 */
export const usePageTracking = (options?: PresenceOptions): void => {
  const given = useRef(options); // an object literal is a new object on every render
  given.current = options;
  useEffect(() => trackPage(given.current), [options?.api, options?.site]);
};

const connecting = () => CONNECTING;

/** What was published last; `connecting` as soon as `deps` change, for the rest is of the old ones. */
const useLive = <T extends object>(
  start: (publish: (next: Live<T>) => void) => () => void,
  deps: DependencyList,
): Live<T> => {
  const store = useMemo(() => {
    let latest = CONNECTING as Live<T>;
    return {
      subscribe: (onChange: () => void) =>
        start((next) => {
          latest = next;
          onChange();
        }),
      latest: () => latest,
    };
  }, deps);
  return useSyncExternalStore(store.subscribe, store.latest, connecting as () => Live<T>);
};

/** The live numbers of the site and, with `path`, of one page. All uses share one connection. */
export const usePresence = ({ path, site, api }: CountsOptions = {}): Live<LiveCounts> =>
  useLive<LiveCounts>((publish) => watchCounts({ path, site, api }, publish), [api, site, path]);

/** Who is on the site, or with `path` on one page. All uses of the same page share one connection. */
export const useUsers = ({ path, site, api, user }: UsersOptions = {}): Live<LiveUsers> => {
  const given = useRef(user); // a function literal is a new function on every render
  given.current = user;
  return useLive<LiveUsers>((publish) => {
    const latest = given.current && (() => given.current?.());
    return watchPeople({ path, site, api, user: latest }, publish);
  }, [api, site, path, !user]); // who has signed in meanwhile has one
};
