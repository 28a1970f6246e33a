/**
 * The client, shared by the script tag and the npm package: one small state machine.
 *
 * A tab is present while it is visible, its path is not excluded, and it has neither left nor opted
 * out. Every present tab requests the site's lock; the holder is the leader, and only the leader
 * sends heartbeats. A tab that is no longer present releases the lock, so that another tab leads and
 * sends at once. This covers background tabs, prerendered pages (hidden until shown) and the
 * back-forward cache (which takes no page that holds a lock).
 *
 * `update` brings the tab to the state it should be in; it may be called at any time.
 *
 * The script tag must be small: `build.mjs` puts the body of `createClient` at the top level of the
 * script, where `script_tag.ts` provides its arguments and `sendHeartbeat` is `fetch`. Hence the loose types and falsy zeros.
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
/** Less than LEAVE_GRACE, so that another window leads before the visitor of a closed one is gone. */
const LOCK_RETRY_MAX_MS = 2_000;
const DEBOUNCE_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const INTERVAL_MS = 30_000;
const LOAD_RETRY_MS = 30_000;
/** Up to this status an error concerns one heartbeat; from 429 on, the service. */
const LAST_REQUEST_ERROR = 428;
/** Longest time until visitors are back after an outage. */
const MAX_BACKOFF_MS = 600_000;

export const createClient = (
  options: Attributes,
  url: string,
  loadLazy: (retry?: string) => Promise<LazyModule>,
  sendHeartbeat: typeof fetch = (...request) => fetch(...request),
): Presence => {
  /** Calls of `heartbeat()` made before the script was there are in the queue of a stand-in. */
  let isRunning: unknown = options.auto != "false" || self.presence?.queue;
  /** Releases the lock; set while this tab is the leader. */
  let release: (() => void) | 0 | undefined;

  /** Set while a heartbeat is in flight, and after a failed one until its retry. */
  let isBlocked: boolean | 1 | 0 | undefined;
  /** Body of the last heartbeat; 0: send one whatever the path is. */
  let lastBody: string | 0 | undefined;
  let lastAt: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const interval = 1000 * (options.interval as unknown as number) || INTERVAL_MS;
  let nextDelay = interval;
  /** Time between the last two requests for the lock. */
  let lockRetryMs: number;
  /** Query for the URL of the lazy module after a failure, because browsers cache failed imports. */
  let retry = "";

  /** Whether the lazy module decides about the path: on localhost, for robots, on sites with rules. */
  const needsLazy =
    navigator.webdriver ||
    /^(local|127|\[|$)/.test(location.hostname) ||
    !url ||
    ((options.exclude ?? options.respectDnt ?? options.hash) as string) + 1; // NaN without any
  /**
   * The path to report; falsy where the visitor is not counted. Replaced by that of the lazy module
   * if it is needed; nobody is counted before.
   */
  let currentPath = (): unknown => !needsLazy && location.pathname.replace(/\/+/, "/");

  /** 16 random bytes in decimal (plain http has no `crypto.randomUUID`). Empty: opted out. */
  let id = crypto.getRandomValues(new Uint8Array(16)).join("");

  /**
   * The id shared by all tabs; without storage, one that lives as long as the page. A stored id that
   * the service would refuse is replaced; an empty one is an opt-out.
   */
  const sessionId = () => {
    try {
      id = localStorage.presenceId =
        id && (/^([\w-]{16,64}$|$)/.test(localStorage.presenceId) ? localStorage.presenceId : id);
    } catch {}
    return id;
  };

  /** Loads the lazy module and calls `then` with it; retries if either fails, unless `isOnce`. */
  const withLazy = (then: (lazy: LazyModule) => void, isOnce?: 1) => {
    loadLazy(retry)
      .then(then)
      .catch(() => {
        retry += "?";
        isOnce || setTimeout(withLazy, LOAD_RETRY_MS, then);
      });
  };

  /**
   * With the lock: leads until it is released. Without: requests it again after growing pauses,
   * unless this tab leads (two updates may request it twice) or waits for a retry. Polls, because a
   * page that is frozen in the lock's queue would be given the lock and keep it.
   * 0: the lock was lost, which can happen over a BroadcastChannel.
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

  /** `event` is 1 if only the lock is requested again. */
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
      id && // else opted out; storing that again would undo a visitor's removal of the opt-out
      sessionId()
    ) {
      // Without any kind of lock, every tab leads.
      release ||
        (async () =>
          ((navigator.locks as Locks) || (await loadLazy(retry))).request(
            url,
            { ifAvailable: 1 },
            lead,
          ))().catch(lead);
    } else if (release) {
      // A hidden tab sends no leave: another tab may be visible instead.
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
        answer = await sendHeartbeat(url + "heartbeat", {
          method: "POST",
          body: lastBody, // sent as text/plain: no preflight
          credentials: "omit",
          referrer: "",
          keepalive: 1 as unknown as true,
          signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        });
        isBlocked = answer.status > LAST_REQUEST_ERROR;
        answer = 1000 * answer.headers.get(isBlocked ? "Retry-After" : "Presence-Interval") || 0;
      } catch {}
      // `answer` is now the wait that the service asked for. Without one after a failure, back off;
      // `isBlocked` is still set then.
      lastAt = Date.now();
      nextDelay = Math.min(answer || (isBlocked ? 2 * nextDelay : interval), MAX_BACKOFF_MS);
      timer = setTimeout(
        () => {
          isBlocked = lastAt = 0;
          update();
        },
        nextDelay * (Math.random() / 10 + 1),
      );
      update(); // the path may have changed in the meantime
    }
  };

  for (const event of ["pagehide", "pageshow", "visibilitychange", "storage"]) {
    addEventListener(event, update);
  }
  // The Navigation API reports every change of the path, whoever makes it. It throws where missing.
  try {
    navigation.addEventListener("currententrychange", update);
  } catch {
    withLazy((lazy) => lazy.watch(update));
  }
  needsLazy &&
    withLazy((lazy) => {
      currentPath = lazy.path(options);
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
