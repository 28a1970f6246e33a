/**
 * presence-client: sends heartbeats to a presence service and reads its live numbers.
 *
 *     const presence = createPresence({ api: "https://presence.example.org", site: "blog" });
 */

import { createClient } from "./client.js";
import { tellSource } from "./source.js";
import type { UsersCallback } from "./live_users.js";
import type { FetchUserToken, TokenSource } from "./user_token.js";
import type {
  Attributes,
  LiveCallback,
  Presence,
  Subscription,
  SubscribeOptions,
} from "./types.js";

export type { LiveCallback, LiveCounts, Presence, SubscribeOptions } from "./types.js";
export type { LiveUsers, User, UsersCallback } from "./live_users.js";
export type { FetchUserToken } from "./user_token.js";
export type { CountsOptions, Live, UsersOptions } from "./live_state.js";

export interface PresenceOptions {
  /** Name of the site. */
  readonly site: string;
  /** URL of the service, such as `https://presence.example.org`; default: this origin. */
  readonly api?: string;
  /** Seconds between heartbeats until the service sends its own interval; default: 30. */
  readonly interval?: number;
  /** Use the fragment as the path: `#/cart` is reported as `/cart`. */
  readonly hash?: boolean;
  /** Paths that are not reported; a trailing `*` matches a prefix: `["/admin*", "/cart"]`. */
  readonly exclude?: readonly string[];
  /** Do not count visitors who send DNT or Global Privacy Control. */
  readonly respectDnt?: boolean;
  /** Count localhost and automated browsers too. */
  readonly allowLocalhost?: boolean;
  /** `false`: send nothing before the first `heartbeat()`, for example until the visitor consents. */
  readonly auto?: boolean;
  /**
   * Say how the visitor came: by `utm_source`, `utm_medium`, `utm_campaign` or `ref` of the address, or the
   * host of the referrer; a text is said instead of the source. Default: nothing is said.
   */
  readonly source?: boolean | string;
  /**
   * Gives a token of the user who is signed in, made by your own backend; null if nobody is. It is
   * called when a token is needed and some time before one expires, never twice at once.
   */
  readonly user?: FetchUserToken;
}

const running = new Map<string, Presence>();
let latest: Presence | undefined;
let latestUrl: string | undefined;

/** By the URL of the site: the token of its heartbeats is that of its lists of users too. */
const tokenSources = new Map<string, Promise<TokenSource>>();

/** Loads what is only needed where users are named; tries again if that failed. */
const tokensOf = (url: string, user: FetchUserToken): Promise<TokenSource> => {
  const known = tokenSources.get(url);
  if (known) return known;
  const loading = import("./user_token.js").then(({ createTokenSource }) => createTokenSource(user));
  tokenSources.set(url, loading);
  loading.catch(() => tokenSources.delete(url));
  return loading;
};

const identified = (url: string, user: FetchUserToken): typeof fetch => {
  const first = tokensOf(url, user).catch(() => undefined);
  return async (...request) => {
    const tokens = (await first) ?? (await tokensOf(url, user).catch(() => undefined));
    if (!tokens) return fetch(...request); // not loaded: counted anonymously
    const { identifyHeartbeats } = await import("./user_token.js");
    return identifyHeartbeats(tokens)(...request);
  };
};

/** What heartbeats go through, where they say more than who is where. */
const senderOf = ({ source, user }: PresenceOptions, url: string): typeof fetch | undefined => {
  const send = user && identified(url, user);
  if (!source) return send;
  return tellSource(send ?? ((...request) => fetch(...request)), source === true ? undefined : source);
};

/** Without a document, as in server-side rendering, nobody is counted. */
const NOOP_CLIENT: Presence = {
  heartbeat() {},
  leave() {},
  optOut() {},
  subscribe: () => () => {},
};

const siteUrl = ({ api = "", site }: Pick<PresenceOptions, "api" | "site">) => {
  if (!site) throw new TypeError("presence-client: `site` is missing");
  return `${api.replace(/\/*$/, "")}/v1/sites/${site}/`;
};

const LOAD_RETRY_MS = 30_000;
const loadLazy = () => import("./lazy.js");

/** Starts the client for a site; a second call for the same site returns the same client. */
export const createPresence = (options: PresenceOptions): Presence => {
  const url = siteUrl(options);
  if (typeof document == "undefined") return NOOP_CLIENT;
  latest =
    running.get(url) ??
    createClient(toAttributes(options), url, loadLazy, senderOf(options, url));
  latestUrl = url;
  running.set(url, latest);
  return latest;
};

/** Like `presence.subscribe`, for a page that shows a site's numbers without counting its own visitors. */
export const watchPresence = (
  site: Pick<PresenceOptions, "api" | "site">,
  callback: LiveCallback,
  options?: SubscribeOptions,
): (() => void) => {
  const url = siteUrl(site);
  if (typeof document == "undefined") return () => {};
  const subscription: Subscription = [callback, options];
  const live = (isWanted: boolean): void => {
    loadLazy().then(
      (lazy) => lazy.live(url, subscription, isWanted),
      () => setTimeout(live, LOAD_RETRY_MS, isWanted),
    );
  };
  live(true);
  return () => live(false);
};

/**
 * Calls back with the users who are on the site, or with `path` on one page, as soon as they are
 * known and on every change. Without a site: that of the last `createPresence`, with its token.
 */
export const watchUsers = (
  options: { readonly site?: string; readonly api?: string; readonly path?: string; readonly user?: FetchUserToken },
  callback: UsersCallback,
): (() => void) => {
  if (typeof document == "undefined") return () => {};
  const { site, api, path, user } = options;
  const url = site == null ? latestUrl : siteUrl({ site, ...(api != null && { api }) });
  if (!url) return () => {};
  const tokens = user ? tokensOf(url, user) : tokenSources.get(url);
  if (!tokens) return () => {};
  let isEnded = false;
  let stop = () => {};
  const start = async () => {
    try {
      const [{ watchLiveUsers }, source] = await Promise.all([import("./live_users.js"), tokens]);
      if (!isEnded) stop = watchLiveUsers(url, source, callback, path);
    } catch {
      // Not loaded: without the list the page works as before.
    }
  };
  void start();
  return () => {
    isEnded = true;
    stop();
  };
};

/**
 * The visitor has signed in or out: forgets the token and sends a heartbeat, for which it asks anew.
 * Within 5 s of the last heartbeat, the next one on the interval does.
 */
export const refreshUser = async (): Promise<void> => {
  if (latestUrl) (await tokenSources.get(latestUrl)?.catch(() => undefined))?.forget();
  latest?.heartbeat();
};

/** The client of this page: the one created last, or the script tag's. */
export const currentPresence = (): Presence => {
  const tag = typeof window == "undefined" ? undefined : window.presence;
  return latest ?? (tag?.leave ? (tag as Presence) : NOOP_CLIENT); // a stand-in cannot leave
};

const toAttributes = (options: PresenceOptions): Attributes => {
  const attribute = (isOn: boolean | undefined) => (isOn ? "" : undefined);
  return {
    site: options.site,
    interval: options.interval?.toString(),
    hash: attribute(options.hash),
    exclude: options.exclude?.join(","),
    respectDnt: attribute(options.respectDnt),
    allowLocalhost: attribute(options.allowLocalhost),
    auto: options.auto === false ? "false" : undefined,
  };
};
