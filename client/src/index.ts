/**
 * presence-client: tells a presence service who is on which page of your site, and tells you.
 *
 *     const presence = createPresence({ api: "https://presence.example.org", site: "blog" });
 */

import { createClient } from "./client.js";
import type {
  Attributes,
  LiveCallback,
  Presence,
  Subscription,
  SubscribeOptions,
} from "./types.js";

export type { LiveCallback, LiveCounts, Presence, SubscribeOptions } from "./types.js";

export interface PresenceOptions {
  /** Name of the site. */
  readonly site: string;
  /** Where the service is, such as `https://presence.example.org`; without it, this very origin. */
  readonly api?: string;
  /** Seconds between heartbeats until the service names its own interval; 30. */
  readonly interval?: number;
  /** The fragment is the path: `#/cart` is reported as `/cart`. */
  readonly hash?: boolean;
  /** Paths that are not reported; `*` at the end makes one a beginning: `["/admin*", "/cart"]`. */
  readonly exclude?: readonly string[];
  /** Visitors who send DNT or Global Privacy Control are not counted. */
  readonly respectDnt?: boolean;
  /** Developers' machines and automated browsers are counted too. */
  readonly allowLocalhost?: boolean;
  /** `false`: nothing is sent before the first `heartbeat()`, such as after a consent. */
  readonly auto?: boolean;
}

const running = new Map<string, Presence>();
let latest: Presence | undefined;

/** Where there is no page, as in server-side rendering, there is nobody to count. */
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

/** Starts the client for a site. A second call for the same site gives the first one's client. */
export const createPresence = (options: PresenceOptions): Presence => {
  const url = siteUrl(options);
  if (typeof document == "undefined") return NOOP_CLIENT;
  latest = running.get(url) ?? createClient(toAttributes(options), url, loadLazy);
  running.set(url, latest);
  return latest;
};

/** As `presence.subscribe`, for a page that only shows the numbers of a site and counts nobody. */
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

/** The client that runs on this page: the latest created, or the script tag's. */
export const currentPresence = (): Presence =>
  latest ?? (typeof window == "undefined" ? undefined : window.presence) ?? NOOP_CLIENT;

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
