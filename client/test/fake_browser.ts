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
import type { Presence } from "../src/types.js";

const built = (name: string) =>
  readFileSync(new URL(`../../service/web/static/${name}`, import.meta.url), "utf8");

const named = (name: string) => FILES.find((file) => file.name == name)!;

/** presence.js and presence-live.js. */
export interface Script {
  readonly tag: string;
  readonly lazy: string;
}

export const SCRIPTS: Record<string, Script> = {
  source: { tag: await bundle(FILES[0]!, false), lazy: await bundle(FILES[1]!, false) },
  built: { tag: built("presence.js"), lazy: built("presence-live.js") },
};

/** presence-source.js. */
export const SOURCE_SCRIPTS: Record<string, Script> = {
  source: { tag: await bundle(named("presence-source.js"), false), lazy: await bundle(FILES[1]!, false) },
  built: { tag: built("presence-source.js"), lazy: built("presence-live.js") },
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
  readonly body: { sessionId: string; currentPath?: string; source?: string; medium?: string; campaign?: string };
  readonly init?: RequestInit;
}

export class Browser {
  readonly sent: Sent[] = [];
  readonly unhandled: unknown[] = [];
  readonly logged: unknown[] = [];
  readonly informed: unknown[] = [];
  storage: Record<string, string> | "throws" = {};
  locks: "yes" | "missing" | "refused" = "yes";
  /** Whether it has the Navigation API. */
  navigation: "yes" | "missing" = "yes";
  /** How long it takes until a lock that is held is refused. */
  refusedAfterMs = 0;
  /** Whether presence-live.js can be loaded; "old" is one that a cache has kept. */
  lazy: "there" | "missing" | "old" = "there";
  /** What was imported, and which streams were opened. */
  readonly loaded: string[] = [];
  readonly streams: string[] = [];
  answer: Answer | ((sent: Sent) => Answer) = {};
  private readonly held = new Set<string>();

  constructor(readonly script: Script) {}

  open(path = "/", attributes: Attributes = {}, options: Partial<TabOptions> = {}): Tab {
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
  async request(name: string, options: LockOptions, callback: (lock: unknown) => unknown): Promise<unknown> {
    if (this.locks == "refused") throw new DOMException("no access", "SecurityError");
    if (!options.ifAvailable) throw new Error("this would wait in a queue");
    await undefined; // never at once
    const lock = `${name}`;
    if (this.held.has(lock)) {
      await new Promise((resolve) => setTimeout(resolve, this.refusedAfterMs));
      return callback(null);
    }
    this.held.add(lock);
    const result = await callback({ name: lock });
    this.held.delete(lock);
    return result;
  }
}

/** Of the script tag, without `data-`; undefined: not even `data-site`. */
type Attributes = Record<string, string | undefined>;

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
  private readonly modules = new Map<string, unknown>();
  private isHidden: boolean;

  constructor(
    readonly browser: Browser,
    readonly path: string,
    attributes: Attributes,
    options: Partial<TabOptions> & { host: string },
  ) {
    this.isHidden = options.isHidden ?? false;
    const { window } = new JSDOM(`<!doctype html><body>${options.html ?? ""}</body>`, {
      url: options.host + path,
      ...(options.referrer && { referrer: options.referrer }),
      runScripts: "outside-only",
      pretendToBeVisual: true,
    });
    this.window = window;
    const { document, navigator } = window;
    if (browser.navigation == "yes") this.addNavigation();
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
      setTimeout: (next: (arg: unknown) => void, ms: number, arg: unknown) => setTimeout(next, ms, arg),
      clearTimeout: (timer: number) => clearTimeout(timer),
      Date,
      Math: Object.assign(Object.create(Math), { random: () => Math.random() }),
      loadModule: this.importModule,
      EventSource: this.stream(),
      AbortSignal: { timeout: abortAfter },
      console: { ...console, error: this.log, warn: this.log, log: this.log, info: this.inform },
    });
    window.addEventListener("error", ({ error }: { error: unknown }) => browser.unhandled.push(error));
    for (let n = options.scripts ?? 1; n > 0; n--) this.load(attributes, options.src);
  }

  /** Runs the script tag. */
  load(attributes: Attributes = {}, src = `${API}/presence.js`): void {
    const { document } = this.window;
    const script = document.createElement("script");
    script.setAttribute("src", src);
    for (const [name, value] of Object.entries({ site: "blog", ...attributes })) {
      if (value != null) script.setAttribute(`data-${name}`, value);
    }
    document.body.append(script);
    Object.defineProperty(document, "currentScript", { value: script, configurable: true });
    this.window.eval(this.browser.script.tag.replace(/\bimport\(/g, "loadModule("));
    Object.defineProperty(document, "currentScript", { value: null, configurable: true });
  }

  /** The Navigation API, as far as it reports changes of the path, whoever makes them. */
  private addNavigation(): void {
    const { window } = this;
    const navigation = new window.EventTarget();
    const report = () => void navigation.dispatchEvent(new window.Event("currententrychange"));
    for (const name of ["pushState", "replaceState"] as const) {
      const original = window.History.prototype[name];
      window.History.prototype[name] = function (...change) {
        original.apply(this, change);
        report();
      };
    }
    window.addEventListener("popstate", report);
    Object.assign(window, { navigation });
  }

  get presence() {
    return this.window.presence as Presence;
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

  /** `import()`, which jsdom has not: a module once for each address, as browsers do. */
  private readonly importModule = async (address: unknown): Promise<unknown> => {
    const url = `${address}`;
    this.browser.loaded.push(url);
    const known = this.modules.get(url);
    if (known === undefined && this.browser.lazy == "missing") this.modules.set(url, null);
    if (this.modules.get(url) === null) throw new TypeError("Failed to fetch module"); // kept, too
    if (known !== undefined) return known;
    const body = this.browser.script.lazy.replace(/export\s*\{([^}]*)\};?\s*$/, (_, names: string) => {
      return `return {${names.replace(/([\w$]+) as (\w+)/g, "$2: $1")}}`;
    });
    const module = this.window.eval(`(() => {${body}})()`);
    if (this.browser.lazy == "old" && !url.includes("?")) delete module.path; // out of a cache
    this.modules.set(url, module);
    return module;
  };

  private stream() {
    const { streams } = this.browser;
    return class {
      constructor(url: string) {
        streams.push(url);
      }
      addEventListener() {}
      close() {}
    };
  }

  private readonly beacon = (url: string, body: string): boolean => Boolean(this.sent(url, body));

  private readonly inform = (...args: unknown[]) => void this.browser.informed.push(args);

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
