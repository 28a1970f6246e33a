/** Who is on a site, or on one of its pages, now: one stream for all that watch the same. */

import { readEvents, type ServerSentEvent } from "./sse.js";
import type { TokenSource } from "./user_token.js";

export interface User {
  readonly userId: string;
  readonly name: string | null;
  readonly avatar: string | null;
  /** When the oldest of their sessions here began, in ms since 1970 by the service's clock. */
  readonly since: number;
  readonly lastSeen: number;
  /** Tabs and devices. */
  readonly sessions: number;
  readonly paths: readonly string[];
}

export interface LiveUsers {
  /** Those known, the longest here first; the service names at most 100 at first. */
  readonly users: readonly User[];
  /** How many there are, named or not. */
  readonly total: number;
  /** Time of this list by the service's clock, in ms since 1970. */
  readonly asOf: number;
  /** False while disconnected; the list is the last one known. */
  readonly isConnected: boolean;
}

export type UsersCallback = (users: LiveUsers) => void;

const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 300_000;
/** The token does not cover this page: only another token can change that. */
const FORBIDDEN_RETRY_MS = 60_000;
/** The service sends at least a comment more often than this. */
const SILENCE_MS = 60_000;
/** Rows kept; beyond them people are only in the total. */
const MAX_USERS = 1_000;
/** With fewer known than this and more there, a new snapshot is fetched, at most this often. */
const REFILL_BELOW = 10;
const REFILL_MS = 30_000;

interface Store {
  add(callback: UsersCallback): void;
  remove(callback: UsersCallback): void;
}

const createUserStore = (url: string, tokens: TokenSource): Store => {
  const callbacks = new Set<UsersCallback>();
  const users = new Map<string, User>();
  let latest: LiveUsers | undefined;
  let connection: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let snapshotAt = 0;

  const call = (callback: UsersCallback) => {
    try {
      if (latest) callback(latest);
    } catch (error) {
      reportError(error); // a failing callback must not stop the others
    }
  };
  const publish = (next: LiveUsers) => {
    latest = next;
    for (const callback of [...callbacks]) call(callback);
  };

  const take = ({ name, data }: ServerSentEvent) => {
    if (!/^(snapshot|online|moved|offline|change)$/.test(name)) return;
    const { asOf, totalUsers = 0, users: named = [], ...user } = JSON.parse(data);
    if (name == "snapshot") {
      users.clear();
      for (const one of named) users.set(one.userId, one);
      snapshotAt = Date.now();
      failures = 0;
    } else if (name == "offline") users.delete(user.userId);
    else if (user.userId && (users.has(user.userId) || users.size < MAX_USERS))
      users.set(user.userId, user);
    const total = Math.max(totalUsers, users.size);
    // It names nobody. Who comes is told next; who goes and was never named, by the total alone.
    if (name == "change" && total >= (latest?.total ?? 0)) return;
    publish({
      users: [...users.values()].sort(
        (a, b) => a.since - b.since || (a.userId < b.userId ? -1 : 1),
      ),
      total,
      asOf,
      isConnected: true,
    });
    const isShort = users.size < REFILL_BELOW && total > users.size;
    if (isShort && Date.now() - snapshotAt > REFILL_MS) reopen(0);
  };

  const close = () => {
    connection?.abort();
    clearTimeout(timer);
    connection = timer = undefined;
  };

  const reopen = (ms: number) => {
    close();
    timer = setTimeout(() => void open(), ms);
  };

  /** How long to wait after a failure: what the service asks for, else twice as long each time. */
  const backoff = (answer?: Response) => {
    const least = answer?.status == 403 ? FORBIDDEN_RETRY_MS : MIN_RETRY_MS;
    const wait = Math.max(Math.min(MIN_RETRY_MS * 2 ** failures++, MAX_RETRY_MS), least);
    const retryAfter = 1000 * Number(answer?.headers.get("Retry-After"));
    return (retryAfter || wait) * (1 + Math.random() / 2);
  };

  const open = async () => {
    timer = undefined;
    const opened = (connection = new AbortController());
    let silence: ReturnType<typeof setTimeout> | undefined;
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => opened.abort(), SILENCE_MS);
    };
    let answer: Response | undefined;
    try {
      const token = await tokens.get();
      if (opened.signal.aborted) return;
      listen();
      // Without a token the service would refuse; ask it nothing.
      if (token) {
        answer = await fetch(url, {
          headers: { Accept: "text/event-stream", Authorization: `Bearer ${token}` },
          cache: "no-store",
          credentials: "omit",
          referrer: "",
          signal: opened.signal,
        });
        if (answer.status == 401) tokens.refuse(token);
        if (answer.ok && answer.body) {
          tokens.accept(token);
          for await (const event of readEvents(answer.body, listen)) {
            if (opened != connection) return;
            take(event);
          }
        } else void answer.body?.cancel().catch(() => {});
      }
    } catch {
      // Aborted, not reachable, or not what it should be: tried again.
    } finally {
      clearTimeout(silence);
      if (opened == connection) {
        reopen(backoff(answer));
        if (latest?.isConnected) publish({ ...latest, isConnected: false });
      }
    }
  };

  const update = (event?: Event) => {
    const isWanted = callbacks.size > 0 && event?.type != "pagehide" && !document.hidden;
    if (!isWanted) close();
    else if (!connection && timer == null) void open();
  };
  const EVENTS = ["visibilitychange", "pageshow", "pagehide"];

  return {
    add(callback) {
      if (callbacks.size == 0) for (const name of EVENTS) addEventListener(name, update);
      callbacks.add(callback);
      call(callback);
      update();
    },
    remove(callback) {
      if (!callbacks.delete(callback) || callbacks.size > 0) return;
      for (const name of EVENTS) removeEventListener(name, update);
      update();
      latest = undefined; // stale by the time somebody watches again
      users.clear();
      failures = 0;
    },
  };
};

const stores = new WeakMap<TokenSource, Map<string, Store>>();

/**
 * Calls back with the users of a site, or of one page, at once if they are known and on every
 * change. `siteUrl` ends with `/v1/sites/NAME/`. Returns an idempotent function that ends it.
 */
export const watchLiveUsers = (
  siteUrl: string,
  tokens: TokenSource,
  callback: UsersCallback,
  path?: string,
): (() => void) => {
  const query = path == null ? "" : `&path=${encodeURIComponent(path)}`;
  const url = `${siteUrl}live?users=1${query}`;
  const byUrl = stores.get(tokens) ?? new Map<string, Store>();
  stores.set(tokens, byUrl);
  const store = byUrl.get(url) ?? createUserStore(url, tokens);
  byUrl.set(url, store);
  const own: UsersCallback = (users) => callback(users); // the same function may watch twice
  store.add(own);
  return () => store.remove(own);
};
