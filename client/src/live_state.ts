/**
 * What is known of something that is watched, for frameworks: the one core of the React hooks, the
 * Vue composables and the Svelte stores, which only hand it on.
 */

import {
  currentPresence,
  watchPresence,
  watchUsers,
  type FetchUserToken,
  type LiveCounts,
  type LiveUsers,
} from "./index.js";

/**
 * `connecting`: nothing is known yet. `live`: the numbers are those of now. `stale`: the connection is
 * lost, and they are those of `staleSince`, in ms since 1970 by the clock of this device.
 */
export type Live<T extends object> =
  | ({ readonly state: "connecting"; readonly staleSince?: undefined } & {
      readonly [Key in keyof T]?: undefined;
    })
  | (T & { readonly state: "live"; readonly staleSince?: undefined })
  | (T & { readonly state: "stale"; readonly staleSince: number });

export interface CountsOptions {
  /** Also the visitors on this page. */
  readonly path?: string | undefined;
  /** Needs no client, and counts nobody; default: the site of the client that runs on the page. */
  readonly site?: string | undefined;
  readonly api?: string | undefined;
}

export interface UsersOptions {
  /** Only who is on this page; without it, who is on the site. */
  readonly path?: string | undefined;
  /** With `site` and `user` it needs no client; default: that of the last `createPresence`. */
  readonly site?: string | undefined;
  readonly api?: string | undefined;
  readonly user?: FetchUserToken | undefined;
}

type Publish<T extends object> = (state: Live<T>) => void;
type Stop = () => void;

export const CONNECTING = { state: "connecting" } as const;

/** By what is connected: who watches only later is told the same time. */
const lostAt = new Map<unknown, number>();

const sinceOf = (connection: unknown): number => {
  const since = lostAt.get(connection) ?? Date.now();
  lostAt.set(connection, since);
  return since;
};

/**
 * Publishes `connecting` at once, then what `watch` calls back with, until it is stopped. `watch` is
 * called a moment later, when the parents of a component have run too, which may start the client; it
 * names the connection that its numbers come over.
 */
const publishStates = <T extends { readonly isConnected: boolean }>(
  watch: (callback: (next: T) => void) => readonly [connection: unknown, stop: Stop],
  publish: Publish<T>,
): Stop => {
  let isEnded = false;
  let stop: Stop = () => {};
  publish(CONNECTING as Live<T>);
  queueMicrotask(() => {
    if (isEnded) return;
    let connection: unknown;
    [connection, stop] = watch((next) => {
      if (isEnded) return;
      if (next.isConnected) lostAt.delete(connection);
      publish(
        next.isConnected
          ? { ...next, state: "live" }
          : { ...next, state: "stale", staleSince: sinceOf(connection) },
      );
    });
  });
  return () => {
    isEnded = true;
    stop();
  };
};

/** Numbers of a site and, with `path`, of one page. All that watch a site share one connection. */
export const watchCounts = (
  { path, site, api }: CountsOptions,
  publish: Publish<LiveCounts>,
): Stop =>
  publishStates((callback) => {
    const page = path == null ? {} : { path };
    if (site == null) {
      const presence = currentPresence();
      return [presence, presence.subscribe(callback, page)];
    }
    const watched = { site, ...(api != null && { api }) };
    return [`${api ?? ""} ${site}`, watchPresence(watched, callback, page)];
  }, publish);

/** Who is on a site, or on one page. All that watch the same share one connection. */
export const watchPeople = (
  { path, site, api, user }: UsersOptions,
  publish: Publish<LiveUsers>,
): Stop =>
  publishStates((callback) => {
    const watched = {
      ...(path != null && { path }),
      ...(site != null && { site }),
      ...(api != null && { api }),
      ...(user && { user }),
    };
    return [JSON.stringify(watched), watchUsers(watched, callback)];
  }, publish);
