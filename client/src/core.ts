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
 * `wake` brings all that up to date. It may be called at any time, for whatever reason.
 *
 * The script tag must be small: `build.mjs` puts the body of `createCore` at the top level of the
 * script, where `tag.ts` gives what are arguments here. Hence loose types, and zeros for nothing.
 */

import type {
  Attributes,
  LiveCallback,
  Locks,
  More,
  Presence,
  Subscription,
  SubscribeOptions,
} from "./types.js";

const ASK_AGAIN_MS = 250;
const DEBOUNCE_MS = 5_000;
const HUNG_MS = 10_000;
const INTERVAL_MS = 30_000;
/** However long the service was away, visitors are back within this time. */
const LONGEST_WAIT_MS = 600_000;

export const createCore = (
  options: Attributes,
  url: string,
  loadMore: () => Promise<More>,
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
  let delay = interval;

  /** 16 random bytes, in decimal. `crypto.randomUUID` is missing on plain http. Empty: opted out. */
  let id = crypto.getRandomValues(new Uint8Array(16)).join("");

  /** The id all tabs share, or where there is no storage the one that lives as long as the page. */
  const sessionId = () => {
    try {
      id = localStorage.presenceId = id && (localStorage.presenceId ?? id);
    } catch {}
    return id;
  };

  const live = (subscription?: Subscription, isWanted?: unknown) =>
    loadMore().then((more) => more.live(url, subscription, isWanted), () => {});

  /**
   * With the lock: leads until it is given back. Without: asks again soon, unless this tab leads
   * (it was woken, and so asked, twice) or has a timer that will wake it. Nobody queues for the
   * lock, since a page that is frozen in a queue would be given it and keep it.
   */
  const lead = (lock: unknown): any =>
    lock
      ? new Promise<void>((resolve) => {
          release = resolve;
          wake();
        })
      : release || isBlocked || (clearTimeout(timer), (timer = setTimeout(wake, ASK_AGAIN_MS)));

  const wake = async (event?: Event) => {
    document.querySelector("[data-presence-count]") && live();
    const path =
      "/" +
      (options.hash != null ? location.hash : location.pathname).replace(/^#?!?\/*|[?#].*/g, "");

    if (
      isRunning &&
      !(
        options.respectDnt != null &&
        ((navigator.doNotTrack as unknown as number) > 0 || navigator.globalPrivacyControl)
      ) &&
      (options.allowLocalhost != null ||
        !(navigator.webdriver || /^(localhost$|127\.|\[::1|$)/.test(location.hostname))) &&
      !options.exclude
        ?.split(/,\s*/)
        .some((entry) => path == entry || path.slice(0, entry.length - 1) + "*" == entry) &&
      event?.type != "pagehide" &&
      !document.hidden &&
      sessionId()
    ) {
      // With no locks of any kind, or no access to them, each tab leads itself.
      release ||
        (async () =>
          ((navigator.locks as Locks) || (await loadMore())).request(
            url,
            { ifAvailable: true },
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
          keepalive: true,
          signal: AbortSignal.timeout(HUNG_MS),
        });
        isBlocked = !answer.ok;
        answer = 1000 * answer.headers.get(isBlocked ? "Retry-After" : "Presence-Interval") || 0;
      } catch {}
      // Here `answer` is how long the service said to wait, which is what it can take; where it said
      // nothing, it may be in trouble. Whoever failed is still blocked.
      lastAt = Date.now();
      delay = Math.min(answer || (isBlocked ? 2 * delay : interval), LONGEST_WAIT_MS);
      timer = setTimeout(
        () => {
          isBlocked = lastAt = 0;
          wake();
        },
        delay * (1 + Math.random() / 10),
      );
      wake(); // the path may have changed meanwhile
    }
  };

  for (const event of ["pagehide", "pageshow", "visibilitychange", "popstate"]) {
    addEventListener(event, wake);
  }
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = (...change) => {
      original.apply(history, change);
      wake();
    };
  }
  wake();

  return {
    leave() {
      isRunning = 0;
      wake();
    },
    heartbeat() {
      isRunning = 1;
      wake();
    },
    optOut() {
      id = "";
      sessionId();
      wake();
    },
    subscribe: (...subscription: [LiveCallback, SubscribeOptions?]) => (
      live(subscription, 1), () => live(subscription)
    ),
  };
};
