/**
 * The client itself, the same for the script tag and the npm package: one small state machine.
 *
 * A tab is *here* while it is visible, its path is not excluded, and it has neither left nor opted
 * out. One rule decides who sends: each tab that is here asks for the site's lock, whoever holds
 * the lock leads, and only the leader beats. A tab that is no longer here gives the lock back, so
 * that the next one leads and beats at once. Background tabs, prerendered pages (which are hidden
 * until they are shown) and the back-forward cache (no page that holds a lock gets into it) need
 * no rules of their own.
 *
 * `update` brings all that up to date. It may be called at any time, for whatever reason.
 *
 * The script tag must be small: `build.mjs` puts the body of `createClient` at the top level of the
 * script, where `tag.ts` gives what are arguments here. Hence loose types, and zeros for nothing.
 */

import type {
  Attributes,
  LiveCallback,
  Locks,
  LazyModule,
  Presence,
  SubscribeOptions,
} from "./types.js";

const LOCK_RETRY_MS = 250;
/** Less than LEAVE_GRACE: the visitor of a window that is closed is not gone before the next leads. */
const LOCK_RETRY_MAX_MS = 2_000;
const DEBOUNCE_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const INTERVAL_MS = 30_000;
const LOAD_RETRY_MS = 30_000;
/** Statuses above, from 429 on, are of the service; up to here, of this one heartbeat. */
const LAST_REQUEST_ERROR = 428;
/** However long the service was away, visitors are back within this time. */
const MAX_BACKOFF_MS = 600_000;

export const createClient = (
  options: Attributes,
  url: string,
  loadLazy: (retry?: string) => Promise<LazyModule>,
): Presence => {
  let isRunning: boolean | 1 | 0 = options.auto != "false";
  /** Set while this tab leads: gives the lock back. */
  let release: (() => void) | 0 | undefined;

  /** Set while a heartbeat is in flight, and after one that failed until it is time for the next. */
  let isBlocked: boolean | 1 | 0 | undefined;
  /** What was reported last; 0: nothing, so whatever the path is, it is news. */
  let lastBody: string | 0 | undefined;
  let lastAt: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const interval = 1000 * (options.interval as unknown as number) || INTERVAL_MS;
  let nextDelay = interval;
  /** How long this tab waited before it asked for the lock again. */
  let lockRetryMs: number;
  /** Makes the address of `more` another one after it failed: browsers keep what they were given. */
  let retry = "";

  /** Roughly who needs `more` to know the path, if any: developers, robots, sites with rules. */
  const needsLazy =
    navigator.webdriver ||
    /^(local|127|\[|$)/.test(location.hostname) ||
    !url ||
    (options.exclude ?? options.respectDnt ?? options.hash) != null;
  /**
   * The path that is reported; nothing where the visitor is not counted. Where it takes more than
   * this, `more` says; until then nobody is counted.
   */
  let currentPath = (): unknown => !needsLazy && location.pathname.replace(/^\/+/, "/");

  /** 16 random bytes, in decimal. `crypto.randomUUID` is missing on plain http. Empty: opted out. */
  let id = crypto.getRandomValues(new Uint8Array(16)).join("");

  /** The id all tabs share, or where there is no storage the one that lives as long as the page. */
  const sessionId = () => {
    try {
      id = localStorage.presenceId = id && (localStorage.presenceId ?? id);
    } catch {}
    return id;
  };

  /** Calls `then` with what is loaded only when it is needed; where either fails, later. */
  const withLazy = (then: (lazy: LazyModule) => void, isOnce?: 1) => {
    loadLazy(retry)
      .then(then)
      .catch(() => {
        retry = "?" + Date.now();
        isOnce || setTimeout(withLazy, LOAD_RETRY_MS, then);
      });
  };

  /**
   * With the lock: leads until it is given back. Without: asks again, soon and then less often,
   * unless this tab leads (it was woken, and so asked, twice) or has a timer that will update it.
   * Nobody queues for the lock, since a page that is frozen in a queue would be given it and keep
   * it. 0: the lock was lost, which locks over a BroadcastChannel may be.
   */
  const lead = (lock: unknown): any =>
    lock
      ? new Promise<void>((resolve) => {
          release = resolve;
          update();
        })
      : (release = (lock as 0 | null) ?? release) ||
        isBlocked ||
        (clearTimeout(timer),
        (timer = setTimeout(update, (lockRetryMs = Math.min(2 * lockRetryMs, LOCK_RETRY_MAX_MS)), 1)));

  /** `event` is 1 where this tab only asks for the lock again. */
  const update = async (event?: any) => {
    event > 0 ||
      ((lockRetryMs = LOCK_RETRY_MS / 2),
      isRunning &&
        document.querySelector("[data-presence-count]") &&
        withLazy((lazy) => lazy.live(url), 1));
    const path = currentPath();

    if (
      isRunning &&
      path &&
      event?.type != "pagehide" &&
      !document.hidden &&
      id && // else it has opted out, and would write that over an absent one, which opts in again
      sessionId()
    ) {
      // With no locks of any kind, or no access to them, each tab leads itself.
      release ||
        (async () =>
          ((navigator.locks as Locks) || (await loadLazy(retry))).request(
            url,
            { ifAvailable: 1 },
            lead,
          ))().catch(lead);
    } else if (release) {
      // Hidden is not gone: there is no goodbye for it, perhaps another tab is visible instead.
      lastBody && (document.hidden || navigator.sendBeacon?.(url + "leave", lastBody));
      release();
      release = lastBody = 0;
    }

    if (
      release &&
      !isBlocked &&
      (lastBody != (lastBody = JSON.stringify({ sessionId: id, currentPath: path })) ||
        Date.now() - lastAt! > DEBOUNCE_MS)
    ) {
      let answer: any = 0;
      isBlocked = 1;
      clearTimeout(timer);
      try {
        answer = await fetch(url + "heartbeat", {
          method: "POST",
          body: lastBody, // text/plain, so there is no preflight
          credentials: "omit",
          referrer: "",
          keepalive: 1 as unknown as true,
          signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        });
        isBlocked = answer.status > LAST_REQUEST_ERROR;
        answer = 1000 * answer.headers.get(isBlocked ? "Retry-After" : "Presence-Interval") || 0;
      } catch {}
      // Here `answer` is how long the service said to wait, which is what it can take; where it said
      // nothing, it may be in trouble. Whoever failed is still blocked.
      lastAt = Date.now();
      nextDelay = Math.min(answer || (isBlocked ? 2 * nextDelay : interval), MAX_BACKOFF_MS);
      timer = setTimeout(
        () => {
          isBlocked = lastAt = 0;
          update();
        },
        nextDelay * (1 + Math.random() / 10),
      );
      update(); // the path may have changed meanwhile
    }
  };

  for (const event of ["pagehide", "pageshow", "visibilitychange", "popstate", "storage"]) {
    addEventListener(event, update);
  }
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = (...change) => {
      original.apply(history, change);
      update();
    };
  }
  needsLazy &&
    withLazy((lazy) => {
      currentPath = lazy.pathBy(options);
      update();
    });
  update();

  return {
    leave() {
      isRunning = 0;
      update();
    },
    heartbeat() {
      isRunning = 1;
      update();
    },
    optOut() {
      id = "";
      sessionId();
      update();
    },
    subscribe: (...subscription: [LiveCallback, SubscribeOptions?]) => (
      withLazy((lazy) => lazy.live(url, subscription, 1)), () => withLazy((lazy) => lazy.live(url, subscription))
    ),
  };
};
