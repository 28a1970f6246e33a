/** React hooks. Both work with the script tag's client as well, where no options are given. */

import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";
import {
  createPresence,
  currentPresence,
  watchPresence,
  type LiveCounts,
  type PresenceOptions,
} from "./index.js";

/**
 * Reports the page that is shown, with heartbeats on an interval and on every change of the path,
 * for as long as the component is mounted. It needs no router: the client notices by itself.
 */
export const usePageTracking = (options?: PresenceOptions): void => {
  const given = useRef(options); // an object literal is another one with every render
  useEffect(() => {
    const presence = given.current ? createPresence(given.current) : currentPresence();
    presence.heartbeat();
    return () => presence.leave();
  }, []);
};

/**
 * The live numbers of the site, or with `path` of one page too; undefined until they are known.
 * Use it as often as you like: all share one connection.
 */
export const usePresence = ({
  path,
  site,
  api,
}: {
  readonly path?: string;
  readonly site?: string;
  readonly api?: string;
} = {}): LiveCounts | undefined => {
  const counts = useRef<LiveCounts | undefined>(undefined);
  const subscribe = useCallback(
    (onChange: () => void) => {
      const publish = (next: LiveCounts | undefined) => {
        counts.current = next;
        onChange();
      };
      const options = path == null ? {} : { path };
      publish(undefined); // what was known is of another site or page
      let isEnded = false;
      let stop = () => {};
      queueMicrotask(() => {
        // By now the components around this one have their effects, which may start the client.
        if (isEnded) return;
        stop =
          site == null
            ? currentPresence().subscribe(publish, options)
            : watchPresence({ site, ...(api != null && { api }) }, publish, options);
      });
      return () => {
        isEnded = true;
        stop();
      };
    },
    [api, site, path],
  );
  return useSyncExternalStore(
    subscribe,
    () => counts.current,
    () => undefined,
  );
};
