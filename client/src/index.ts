/**
 * presence-client: sends heartbeats to a presence service and reads its live numbers.
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
}

const running = new Map<string, Presence>();
let latest: Presence | undefined;

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
  latest = running.get(url) ?? createClient(toAttributes(options), url, loadLazy);
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
