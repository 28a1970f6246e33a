/** The public types, shared by the script tag and the npm package. */

/** Settings in the form of the script tag's `data-` attributes: a string or undefined. */
export interface Attributes {
  /** Name of the site. */
  readonly site?: string | undefined;
  /** Seconds between heartbeats until the service sends its own interval; default: 30. */
  readonly interval?: string | undefined;
  /** Present: use the fragment as the path. */
  readonly hash?: string | undefined;
  /** Paths that are not reported, comma-separated; a trailing `*` matches a prefix. */
  readonly exclude?: string | undefined;
  /** Present: do not count visitors who send DNT or Global Privacy Control. */
  readonly respectDnt?: string | undefined;
  /** Present: count localhost and automated browsers. */
  readonly allowLocalhost?: string | undefined;
  /** Of presence-source.js: what to say of where the visitor comes from. */
  readonly source?: string | undefined;
  /** `false`: send nothing before the first `heartbeat()`. */
  readonly auto?: string | undefined;
}

/** The numbers at one moment, as passed to subscribers. */
export interface LiveCounts {
  /** Visitors on the whole site now. */
  readonly activeVisitors: number;
  /** Visitors on the requested path; absent without one. */
  readonly activeOnPath?: number;
  readonly totalPageViews: number;
  readonly uniqueVisitors: number;
  /** Time of these numbers by the service's clock, in ms since 1970. */
  readonly asOf: number;
  /** False while disconnected; the numbers are the last ones known. */
  readonly isConnected: boolean;
}

export type LiveCallback = (counts: LiveCounts) => void;

export interface SubscribeOptions {
  /** Also report the visitors on this path. */
  readonly path?: string;
}

/** A running client; `window.presence` for the script tag. Its methods never throw. */
export interface Presence {
  /** Sends a heartbeat now; starts the client after `auto: false` or `leave()`. */
  heartbeat(): void;
  /** Reports that the visitor has left; sends nothing until the next `heartbeat()`. */
  leave(): void;
  /** Like `leave`, but permanently and in every tab of this browser; kept in localStorage. */
  optOut(): void;
  /**
   * Calls back with the live numbers: once they are known, whenever one changes, and when the
   * connection is lost or restored. Returns an idempotent unsubscribe function.
   */
  subscribe(callback: LiveCallback, options?: SubscribeOptions): () => void;
}

/** The part of `navigator.locks` that the client uses. */
export interface Locks {
  /**
   * Calls `callback` with the lock and holds it until the returned promise settles; calls it with
   * null if another tab holds the lock. A lock over a BroadcastChannel can be lost: then `callback`
   * is called again, with 0.
   */
  request(
    name: string,
    options: { readonly ifAvailable: true | 1 },
    callback: (lock: unknown) => unknown,
  ): Promise<unknown>;
}

export type Subscription = readonly [callback: LiveCallback, options?: SubscribeOptions | undefined];

/** The lazy-loaded part of the client, which most pages never need. */
export interface LazyModule extends Locks {
  /** Returns a function for the current path; it returns something falsy where nobody is counted. */
  path(options: Attributes): () => unknown;
  /** Calls `update` on every change of the path, for browsers without the Navigation API. */
  watch(update: () => void): void;
  /** Starts or ends a subscription; without one, renders the numbers into the page's elements. */
  live(url: string, subscription?: Subscription, isWanted?: unknown): void;
}
