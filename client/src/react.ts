/** React hooks; without options they use the script tag's client. */

import { useCallback, useEffect, useRef, useSyncExternalStore, type DependencyList } from "react";
import {
  createPresence,
  currentPresence,
  watchPresence,
  watchUsers,
  type FetchUserToken,
  type LiveCounts,
  type LiveUsers,
  type Presence,
  type PresenceOptions,
} from "./index.js";

/** How many mounted components track with a client. */
const mounts = new WeakMap<Presence, number>();

/**
 * Counts the visitor while the component is mounted: sends heartbeats on an interval and on every
 * change of the path. Works with any router. Of several components at once, such as a layout and a
 * page, or a page during its exit animation, the last to unmount reports that the visitor has left.
 */
export const usePageTracking = (options?: PresenceOptions): void => {
  const given = useRef(options); // an object literal is a new object on every render
  useEffect(() => {
    const presence = given.current ? createPresence(given.current) : currentPresence();
    const add = (count: number) => {
      const total = (mounts.get(presence) ?? 0) + count;
      mounts.set(presence, total);
      return total;
    };
    add(1);
    presence.heartbeat();
    return () => {
      if (add(-1) == 0) presence.leave();
    };
  }, []);
};

/** What a subscription last published; undefined until it has, and again when `deps` change. */
const useLatest = <T>(
  start: (publish: (next: T) => void) => () => void,
  deps: DependencyList,
): T | undefined => {
  const latest = useRef<T | undefined>(undefined);
  const subscribe = useCallback((onChange: () => void) => {
    const publish = (next: T | undefined) => {
      latest.current = next;
      onChange();
    };
    publish(undefined); // the old one belongs to another site or page
    let isEnded = false;
    let stop = () => {};
    queueMicrotask(() => {
      // By now the effects of parent components have run, which may start the client.
      if (!isEnded) stop = start(publish);
    });
    return () => {
      isEnded = true;
      stop();
    };
  }, deps);
  return useSyncExternalStore(
    subscribe,
    () => latest.current,
    () => undefined,
  );
};

/**
 * The live numbers of the site and, with `path`, of one page; undefined until they are known.
 * All uses share one connection.
 */
export const usePresence = ({
  path,
  site,
  api,
}: {
  readonly path?: string;
  readonly site?: string;
  readonly api?: string;
} = {}): LiveCounts | undefined =>
  useLatest<LiveCounts>(
    (publish) => {
      const options = path == null ? {} : { path };
      return site == null
        ? currentPresence().subscribe(publish, options)
        : watchPresence({ site, ...(api != null && { api }) }, publish, options);
    },
    [api, site, path],
  );

export interface UsersOptions {
  /** Only who is on this page; without it, who is on the site. */
  readonly path?: string;
  /** With `site` and `user` it needs no client; default: that of the last `createPresence`. */
  readonly site?: string;
  readonly api?: string;
  readonly user?: FetchUserToken;
}

/**
 * Who is on the site, or with `path` on one page; undefined until it is known. All uses of the same
 * page share one connection.
 */
export const useUsers = ({ path, site, api, user }: UsersOptions = {}): LiveUsers | undefined => {
  const given = useRef(user); // a function literal is a new function on every render
  given.current = user;
  return useLatest<LiveUsers>(
    (publish) =>
      watchUsers(
        {
          ...(path != null && { path }),
          ...(site != null && { site }),
          ...(api != null && { api }),
          ...(given.current && { user: () => given.current?.() }),
        },
        publish,
      ),
    [api, site, path],
  );
};
