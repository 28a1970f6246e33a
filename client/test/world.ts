/**
 * A browser with tabs, and the service, as far as the client can see them: jsdom windows that
 * share a storage and locks, a clock that the test moves, and a list of what was sent.
 *
 * The script is run as a page runs it: as it is built, and as its source says.
 */

import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";
import { vi } from "vitest";
import { FILES, bundle } from "../build.mjs";

export const SCRIPTS = {
  source: await bundle(FILES[0]!, false),
  built: readFileSync(new URL("../../service/static/presence.js", import.meta.url), "utf8"),
};

export const API = "https://presence.example.org";
export const SITE = "https://blog.example.org";
export const INTERVAL_MS = 30_000;

/** An answer of the service, or "nothing": the connection fails, "hangs": none ever comes. */
export type Answer = { status?: number; headers?: Record<string, string>; afterMs?: number } | "nothing" | "hangs";

export interface Sent {
  readonly at: number;
  readonly url: string;
  readonly what: string;
  readonly tab: string;
  readonly body: { sessionId: string; currentPath?: string };
  readonly init?: RequestInit;
}

export class Browser {
  readonly sent: Sent[] = [];
  readonly unhandled: unknown[] = [];
  readonly logged: unknown[] = [];
  storage: Record<string, string> | "throws" = {};
  locks: "yes" | "missing" | "refused" = "yes";
  /** How long it takes until a lock that is held is refused. */
  refusedAfterMs = 0;
  answer: Answer | ((sent: Sent) => Answer) = {};
  private readonly held = new Set<string>();

  constructor(readonly script: string) {}

  /** A tab with the tag, of the site "blog" where nothing else is said; undefined: no such attribute. */
  open(path = "/", attributes: Record<string, string | undefined> = {}, options: Partial<TabOptions> = {}): Tab {
    return new Tab(this, path, attributes, { host: SITE, referrer: "", ...options });
  }

  /** Paths of the heartbeats, in order. */
  get beats(): (string | undefined)[] {
    return this.sent.filter(({ what }) => what == "heartbeat").map(({ body }) => body.currentPath);
  }

  /** All that was sent: "heartbeat /a", "leave". */
  get said(): string[] {
    return this.sent.map(({ what, body }) => (what == "heartbeat" ? `${what} ${body.currentPath}` : what));
  }

  /** navigator.locks.request with ifAvailable, as far as the specification matters here. */
  async request(name: string, options: LockOptions, whenAsked: (lock: unknown) => unknown): Promise<unknown> {
    if (this.locks == "refused") throw new DOMException("no access", "SecurityError");
    if (!options.ifAvailable) throw new Error("this would wait in a queue");
    await undefined; // never at once
    const lock = `${name}`;
    if (this.held.has(lock)) {
      await new Promise((resolve) => setTimeout(resolve, this.refusedAfterMs));
      return whenAsked(null);
    }
    this.held.add(lock);
    const result = await whenAsked({ name: lock });
    this.held.delete(lock);
    return result;
  }
}

interface TabOptions {
  host: string;
  referrer: string;
  html: string;
  isHidden: boolean;
  navigator: Record<string, unknown>;
  scripts: number;
  src: string;
}

export class Tab {
  readonly window: JSDOM["window"];
  private isHidden: boolean;

  constructor(
    readonly browser: Browser,
    readonly path: string,
    attributes: Record<string, string | undefined>,
    options: Partial<TabOptions> & { host: string },
  ) {
    this.isHidden = options.isHidden ?? false;
    const { window } = new JSDOM(`<!doctype html><body>${options.html ?? ""}</body>`, {
      url: options.host + path,
      runScripts: "outside-only",
      pretendToBeVisual: true,
    });
    this.window = window;
    const { document, navigator } = window;
    Object.defineProperty(document, "hidden", { get: () => this.isHidden });
    Object.defineProperty(window, "localStorage", {
      get: () => {
        if (browser.storage == "throws") throw new window.DOMException("no access", "SecurityError");
        return browser.storage;
      },
    });
    const locks = { request: browser.request.bind(browser) };
    const given = { ...(browser.locks != "missing" && { locks }), sendBeacon: this.beacon, ...options.navigator };
    for (const [name, value] of Object.entries(given)) Object.defineProperty(navigator, name, { value });
    Object.assign(window, {
      fetch: this.fetch,
      setTimeout: (next: () => void, ms?: number) => setTimeout(next, ms),
      clearTimeout: (timer: number) => clearTimeout(timer),
      Date,
      Math: Object.assign(Object.create(Math), { random: () => Math.random() }),
      AbortSignal: { timeout: abortAfter },
      console: { ...console, error: this.log, warn: this.log, log: this.log },
    });
    window.addEventListener("error", ({ error }: { error: unknown }) => browser.unhandled.push(error));
    for (let n = options.scripts ?? 1; n > 0; n--) this.run(options.src ?? `${API}/presence.js`, attributes);
  }

  private run(src: string, attributes: Record<string, string | undefined>): void {
    const { document } = this.window;
    const script = document.createElement("script");
    script.setAttribute("src", src);
    for (const [name, value] of Object.entries({ site: "blog", ...attributes })) {
      if (value !== undefined) script.setAttribute(`data-${name}`, value);
    }
    document.body.append(script);
    Object.defineProperty(document, "currentScript", { value: script, configurable: true });
    this.window.eval(this.browser.script);
    Object.defineProperty(document, "currentScript", { value: null, configurable: true });
  }

  get presence() {
    return this.window.presence!;
  }

  /** The user looks at something else, or back at this tab. */
  hide(isHidden = true): void {
    this.isHidden = isHidden;
    this.window.document.dispatchEvent(new this.window.Event("visibilitychange", { bubbles: true }));
  }

  show(): void {
    this.hide(false);
  }

  /** The tab is closed or goes to another page: first pagehide, then it is hidden, as browsers do. */
  leave(): void {
    this.window.dispatchEvent(new this.window.Event("pagehide"));
    if (!this.isHidden) this.hide();
  }

  /** The user comes back, and the page out of the back-forward cache. */
  comeBack(): void {
    this.isHidden = false;
    this.window.dispatchEvent(new this.window.Event("pageshow"));
  }

  push(path: string): void {
    this.window.history.pushState(null, "", path);
  }

  private sent(url: string, body: string, init?: RequestInit): Sent {
    const what = `${url}`.split("/v1/sites/blog/")[1]!;
    const sent = { at: Date.now(), url: `${url}`, what, tab: this.path, body: JSON.parse(body), ...(init && { init }) };
    this.browser.sent.push(sent);
    return sent;
  }

  private readonly beacon = (url: string, body: string): boolean => Boolean(this.sent(url, body));

  private readonly log = (...args: unknown[]) => void this.browser.logged.push(args);

  private readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const sent = this.sent(url, init.body as string, init);
    const answer = typeof this.browser.answer == "function" ? this.browser.answer(sent) : this.browser.answer;
    const aborted = () =>
      new Promise<never>((_, fail) => {
        init.signal?.addEventListener("abort", () => fail(new DOMException("aborted", "TimeoutError")));
      });
    if (answer == "nothing") throw new TypeError("Failed to fetch");
    if (answer == "hangs") return aborted();
    const { status = 204, headers = {}, afterMs = 0 } = answer;
    if (afterMs) await Promise.race([aborted(), new Promise((resolve) => setTimeout(resolve, afterMs))]);
    return new Response(null, { status, headers });
  };
}

/** AbortSignal.timeout by the clock of the test. */
const abortAfter = (ms: number): AbortSignal => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), ms);
  return controller.signal;
};

/** Lets everything happen that happens within so many milliseconds. */
export const pass = async (ms = 1): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
};
