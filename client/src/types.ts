/** What callers give and get: the same names for the script tag and the npm package. */

/** Settings as the script tag's `data-` attributes have them: text, or nothing. */
export interface Attributes {
  /** Name of the site. */
  readonly site?: string | undefined;
  /** Seconds between heartbeats until the service names its own interval; 30. */
  readonly interval?: string | undefined;
  /** There: the fragment is the path. */
  readonly hash?: string | undefined;
  /** Paths that are not reported, comma-separated; `*` at the end makes one a beginning. */
  readonly exclude?: string | undefined;
  /** There: who sends DNT or Global Privacy Control is not counted. */
  readonly respectDnt?: string | undefined;
  /** There: developers' machines and automated browsers are counted. */
  readonly allowLocalhost?: string | undefined;
  /** `false`: nothing is sent before the first `heartbeat()`. */
  readonly auto?: string | undefined;
}

/** What `subscribe` tells: the numbers of one moment. */
export interface LiveCounts {
  /** Visitors on the whole site now. */
  readonly activeVisitors: number;
  /** Visitors on the path that was asked for; absent where none was. */
  readonly activeOnPath?: number;
  readonly totalPageViews: number;
  readonly uniqueVisitors: number;
  /** When this was so by the service's clock, in milliseconds since 1970. */
  readonly asOf: number;
  /** False while the connection is lost: the numbers are the last ones known. */
  readonly isConnected: boolean;
}

export type LiveCallback = (counts: LiveCounts) => void;

export interface SubscribeOptions {
  /** A page whose visitors are counted too. */
  readonly path?: string;
}

/** A running client; for the script tag it is `window.presence`. Nothing of it ever throws. */
export interface Presence {
  /** Asks for a heartbeat now; starts what `auto: false` or `leave()` holds back. */
  heartbeat(): void;
  /** Says goodbye; nothing is sent until the next `heartbeat()`. */
  leave(): void;
  /** As `leave`, in every tab of this browser and for good: it is kept in localStorage. */
  optOut(): void;
  /**
   * Calls back with the live numbers: as soon as they are known, whenever one of them has changed,
   * and when the connection is lost or back. Returns what ends that; calling it twice does no harm.
   */
  subscribe(callback: LiveCallback, options?: SubscribeOptions): () => void;
}

/** As much of `navigator.locks` as is used here. */
export interface Locks {
  /**
   * Where nobody holds the lock, calls `callback` with it, and holds it until the promise that
   * gives settles; else calls it with null.
   * Locks over a BroadcastChannel can be lost: `callback` is called again, with 0.
   */
  request(
    name: string,
    options: { readonly ifAvailable: true | 1 },
    callback: (lock: unknown) => unknown,
  ): Promise<unknown>;
}

export type Subscription = readonly [callback: LiveCallback, options?: SubscribeOptions | undefined];

/** The part of the client that most pages never need, loaded when it is needed. */
export interface LazyModule extends Locks {
  /** Gives what says the path that is reported, or nothing where the visitor is not counted. */
  pathBy(options: Attributes): () => unknown;
  /** Starts or ends a subscription; without one, shows the numbers in the page's elements. */
  live(url: string, subscription?: Subscription, isWanted?: unknown): void;
}
