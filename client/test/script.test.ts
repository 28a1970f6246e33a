/** The script tag, rule by rule, as its source says and as it is built. */

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { API, Browser, INTERVAL_MS, SCRIPTS, SITE, pass, type Answer, type Tab } from "./fake_browser.js";

const START = Date.UTC(2026, 0, 1);
const DEBOUNCE_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const LOCK_RETRY_MS = 250;
const LOCK_RETRY_MAX_MS = 2_000;

const unhandled: unknown[] = [];
const note = (error: unknown) => unhandled.push(error);

describe.each(Object.entries(SCRIPTS))("presence.js, %s", (_, script) => {
  let browser: Browser;

  beforeEach(() => {
    vi.useFakeTimers({ now: START, toFake: ["setTimeout", "clearTimeout", "Date"] });
    vi.spyOn(Math, "random").mockReturnValue(0); // no jitter, but where it is what is tested
    browser = new Browser(script);
    unhandled.length = 0;
    process.on("unhandledRejection", note);
  });

  afterEach(() => {
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
    expect(browser.unhandled).toEqual([]);
    expect(browser.logged).toEqual([]);
    vi.useRealTimers();
  });

  const times = () => browser.sent.map(({ at }) => at - START);

  describe("a heartbeat", () => {
    it("says who is where, without a preflight, a cookie, or a query string", async () => {
      browser.open("/blog/hello?mail=a@b.c#top");
      await pass();
      expect(browser.sent).toHaveLength(1);
      const { init, body, what } = browser.sent[0]!;
      expect(what).toBe("heartbeat");
      expect(body).toEqual({ sessionId: expect.stringMatching(/^[\w-]{16,64}$/), currentPath: "/blog/hello" });
      expect(init).toMatchObject({ method: "POST", credentials: "omit", referrer: "", keepalive: 1 });
      expect(init!.headers).toBeUndefined(); // a text is sent as text/plain
    });

    it.each([
      ["/", {}, "/"],
      ["//double/slash", {}, "/double/slash"],
      ["/a#/b", {}, "/a"],
      ["/caf%C3%A9", {}, "/caf%C3%A9"],
      ["/!important", {}, "/!important"],
      ["/app#/cart?x=1", { hash: "" }, "/cart"],
      ["/app#!/cart", { hash: "" }, "/cart"],
      ["/app#cart", { hash: "" }, "/cart"],
      ["/app#/a#b", { hash: "" }, "/a"],
      ["/app", { hash: "" }, "/"],
    ])("reports %s with %o as %s", async (path, attributes, reported) => {
      browser.open(path, attributes);
      await pass();
      expect(browser.beats).toEqual([reported]);
    });

    it.each([
      [undefined, "https://presence.example.org/v1/sites/blog/heartbeat"],
      ["https://elsewhere.example.org", "https://elsewhere.example.org/v1/sites/blog/heartbeat"],
      ["https://example.org/presence", "https://example.org/presence/v1/sites/blog/heartbeat"],
      ["https://example.org/", "https://example.org/v1/sites/blog/heartbeat"],
      ["https://example.org/presence//", "https://example.org/presence/v1/sites/blog/heartbeat"],
      ["/", "https://presence.example.org/v1/sites/blog/heartbeat"],
    ])("goes where the script came from, or where data-api=%o says", async (api, url) => {
      browser.open("/", api === undefined ? {} : { api });
      await pass();
      expect(browser.sent.map((sent) => sent.url)).toEqual([url]);
    });

    it("goes below the path that the script came from", async () => {
      browser.open("/", {}, { src: "https://example.org/below/presence.js?v=1" });
      await pass();
      expect(browser.sent.map((sent) => sent.url)).toEqual(["https://example.org/below/v1/sites/blog/heartbeat"]);
    });
  });

  describe("the interval", () => {
    it("is 30 s, and the same path counts again with each", async () => {
      browser.open("/a");
      await pass(3 * INTERVAL_MS + 1);
      expect(times()).toEqual([0, 1, 2, 3].map((n) => n * INTERVAL_MS));
    });

    it.each([
      ["10", 10_000],
      ["0.5", 500],
      ["30s", INTERVAL_MS],
      ["", INTERVAL_MS],
    ])("is what data-interval=%o says", async (interval, ms) => {
      browser.open("/a", { interval });
      await pass(ms + 1);
      expect(times()).toEqual([0, ms]);
    });

    it.each([
      [{ "Presence-Interval": "60" }, 60_000],
      [{ "Presence-Interval": "12.5" }, 12_500],
      [{ "Presence-Interval": "soon" }, INTERVAL_MS],
      [{ "Presence-Interval": "0" }, INTERVAL_MS],
      [{ "Presence-Interval": "99999999" }, 600_000],
      [{}, INTERVAL_MS],
    ])("is what the service says: %o", async (headers, ms) => {
      browser.answer = { headers: headers as Record<string, string> };
      browser.open("/a");
      await pass(2 * ms + 1);
      expect(times()).toEqual([0, ms, 2 * ms]);
    });

    it("is longer by up to a tenth, so that tabs do not beat in step", async () => {
      vi.mocked(Math.random).mockReturnValue(0.999);
      browser.open("/a");
      await pass(INTERVAL_MS * 1.05);
      expect(times()).toEqual([0]);
      await pass(INTERVAL_MS * 0.05);
      expect(times()).toEqual([0, 32_997]);
    });
  });

  describe("the path", () => {
    const changes: [string, (tab: Tab) => void][] = [
      ["pushState", (tab) => tab.push("/b")],
      ["replaceState", (tab) => tab.window.history.replaceState(null, "", "/b")],
      [
        "popstate",
        (tab) => {
          // As jsdom goes back: the address first, then the event.
          tab.window.History.prototype.pushState.call(tab.window.history, null, "", "/b");
          tab.window.dispatchEvent(new tab.window.Event("popstate"));
        },
      ],
    ];

    describe.each(["yes", "missing"] as const)("with Navigation API: %s", (navigation) => {
      beforeEach(() => void (browser.navigation = navigation));

      it.each(changes)("is reported at once when it changes by %s", async (_, change) => {
        const tab = browser.open("/a");
        await pass();
        change(tab);
        await pass();
        expect(browser.beats).toEqual(["/a", "/b"]);
      });

      it("is the fragment on request", async () => {
        const tab = browser.open("/app#/a", { hash: "" });
        await pass();
        tab.window.location.hash = "#/b";
        tab.window.dispatchEvent(new tab.window.Event("popstate"));
        await pass(100);
        expect(browser.beats).toEqual(["/a", "/b"]);
      });
    });

    it("is reported at once where a router kept the browser's own pushState", async () => {
      const tab = browser.open("/a", {}, { scripts: 0 });
      const pushState = tab.window.history.pushState.bind(tab.window.history);
      tab.load();
      await pass();
      pushState(null, "", "/b");
      await pass();
      expect(browser.beats).toEqual(["/a", "/b"]);
      expect(browser.loaded).toEqual([]);
      expect(Object.hasOwn(tab.window.history, "pushState")).toBe(false); // nothing is wrapped
    });

    it("without the Navigation API is watched by presence-live.js, and sent anyway", async () => {
      browser.navigation = "missing";
      browser.lazy = "missing";
      const tab = browser.open("/a");
      await pass(1_000);
      tab.push("/b");
      await pass(1_000);
      expect(browser.beats).toEqual(["/a"]);
      browser.lazy = "there";
      await pass(INTERVAL_MS);
      expect(browser.beats).toEqual(["/a", "/b"]);
      tab.push("/c");
      await pass();
      expect(browser.beats).toEqual(["/a", "/b", "/c"]);
    });

    it("starts the interval anew when it changes", async () => {
      const tab = browser.open("/a");
      await pass(INTERVAL_MS - 1_000);
      tab.push("/b");
      await pass(INTERVAL_MS - 1);
      expect(browser.beats).toEqual(["/a", "/b"]);
      await pass(2);
      expect(browser.beats).toEqual(["/a", "/b", "/b"]);
    });

    it("is not reported again within 5 s while it is the same", async () => {
      const tab = browser.open("/a");
      await pass();
      for (const state of ["?page=2", "#there", "/a"]) tab.push(state);
      tab.presence.heartbeat();
      await pass(DEBOUNCE_MS - 2);
      tab.presence.heartbeat();
      await pass();
      expect(browser.beats).toEqual(["/a"]);
      await pass();
      tab.presence.heartbeat();
      await pass();
      expect(browser.beats).toEqual(["/a", "/a"]);
    });

    it("changes as history.pushState does without us", async () => {
      browser.navigation = "missing";
      const tab = browser.open("/a");
      await pass();
      const calls: unknown[] = [];
      const { history } = tab.window;
      const ours = history.pushState;
      history.pushState = function (this: History, ...args: Parameters<History["pushState"]>) {
        calls.push(args);
        ours.apply(this, args); // somebody else patches it later
      };
      history.pushState({ n: 1 }, "", "/b");
      await pass();
      expect(history.state).toEqual({ n: 1 });
      expect(calls).toHaveLength(1);
      expect(browser.beats.at(-1)).toBe("/b");
      expect(() => history.pushState(null, "", "https://elsewhere.example.com/")).toThrow();
    });
  });

  describe("at most one heartbeat is in flight", () => {
    it("and a change that came meanwhile is sent right after it", async () => {
      browser.answer = ({ body }) => ({ afterMs: body.currentPath == "/a" ? 3_000 : 0 });
      const tab = browser.open("/a");
      await pass(1_000);
      tab.push("/b");
      tab.push("/c");
      await pass(1_000);
      expect(browser.beats).toEqual(["/a"]);
      await pass(1_001);
      expect(browser.beats).toEqual(["/a", "/c"]);
      expect(times()).toEqual([0, 3_000]);
    });

    it("and nothing is sent after it when the path is the same again", async () => {
      browser.answer = { afterMs: 3_000 };
      const tab = browser.open("/a");
      await pass(1_000);
      tab.push("/b");
      tab.push("/a");
      await pass(4_000);
      expect(browser.beats).toEqual(["/a"]);
    });

    it("and one that hangs is given up after 10 s", async () => {
      browser.answer = "hangs";
      browser.open("/a");
      await pass(REQUEST_TIMEOUT_MS);
      browser.answer = {};
      await pass(2 * INTERVAL_MS + 1);
      expect(times()).toEqual([0, REQUEST_TIMEOUT_MS + 2 * INTERVAL_MS]);
    });
  });

  describe("a failure", () => {
    const failures: [string, Answer][] = [
      ["no connection", "nothing"],
      ["500", { status: 500 }],
      ["503", { status: 503 }],
      ["429", { status: 429, headers: { "Retry-After": "Wed, 25 Nov 2026 19:42:00 GMT" } }],
    ];

    it.each(failures)("is silent, and tried again later and later: %s", async (_, answer) => {
      browser.answer = answer;
      browser.open("/a");
      await pass(60_000 + 120_000 + 240_000 + 1);
      expect(times()).toEqual([0, 60_000, 180_000, 420_000]);
    });

    it.each([400, 404, 413, 422])("of one heartbeat says nothing of the next: %s", async (status) => {
      browser.answer = ({ body }) => (body.currentPath == "/bad" ? { status } : {});
      const tab = browser.open("/bad");
      await pass(1_000);
      tab.push("/good");
      await pass(1_000);
      expect(browser.beats).toEqual(["/bad", "/good"]);
      tab.push("/bad");
      await pass(2 * INTERVAL_MS + 1);
      expect(times().slice(2)).toEqual([2_000, 2_000 + INTERVAL_MS, 2_000 + 2 * INTERVAL_MS]);
    });

    it("is tried again after ten minutes at the latest", async () => {
      browser.answer = "nothing";
      browser.open("/a");
      await pass(10 * 3_600_000);
      const gaps = times().slice(1).map((at, n) => at - times()[n]!);
      expect(gaps.slice(0, 5)).toEqual([60, 120, 240, 480, 600].map((s) => s * 1000));
      expect(new Set(gaps.slice(5))).toEqual(new Set([600_000]));
    });

    it("that says Retry-After is tried again then, for the service knows what it can take", async () => {
      browser.answer = { status: 503, headers: { "Retry-After": "7" } };
      browser.open("/a");
      await pass(22_000);
      expect(times()).toEqual([0, 7_000, 14_000, 21_000]);
    });

    it("that says Retry-After is not tried again before", async () => {
      browser.answer = { status: 429, headers: { "Retry-After": "90" } };
      const tab = browser.open("/a");
      await pass(30_000);
      tab.push("/b");
      tab.presence.heartbeat();
      tab.hide();
      tab.show();
      browser.answer = {};
      await pass(59_999);
      expect(browser.beats).toEqual(["/a"]);
      await pass(2);
      expect(browser.beats).toEqual(["/a", "/b"]);
      expect(times()).toEqual([0, 90_000]);
    });

    it("is jittered", async () => {
      vi.mocked(Math.random).mockReturnValue(0.5);
      browser.answer = "nothing";
      browser.open("/a");
      await pass(64_000);
      expect(times()).toEqual([0, 63_000]);
    });

    it("is forgotten with the first success", async () => {
      browser.answer = "nothing";
      browser.open("/a");
      await pass(60_001);
      browser.answer = {};
      await pass(120_000 + 2 * INTERVAL_MS);
      expect(times()).toEqual([0, 60_000, 180_000, 210_000, 240_000]);
    });
  });

  describe("the session", () => {
    it("is the same in every tab and on every page, and 16 random bytes", async () => {
      const first = browser.open("/a");
      await pass();
      first.leave();
      browser.open("/b");
      await pass();
      const ids = browser.sent.map(({ body }) => body.sessionId);
      expect(ids.length).toBeGreaterThan(1);
      expect(new Set(ids).size).toBe(1);
      const other = new Browser(script);
      other.open("/a");
      await pass();
      expect(other.sent[0]!.body.sessionId).not.toBe(ids[0]);
    });

    it("lives as long as the page where storage throws", async () => {
      browser.storage = "throws";
      const tab = browser.open("/a");
      await pass(INTERVAL_MS + 1);
      tab.leave();
      expect(browser.said).toEqual(["heartbeat /a", "heartbeat /a", "leave"]);
      expect(new Set(browser.sent.map(({ body }) => body.sessionId)).size).toBe(1);
    });

    it("lives as long as the page where storage is full", async () => {
      browser.storage = new Proxy({} as Record<string, string>, {
        set() {
          throw new DOMException("full", "QuotaExceededError");
        },
      });
      browser.open("/a");
      await pass(INTERVAL_MS + 1);
      expect(browser.beats).toEqual(["/a", "/a"]);
      expect(new Set(browser.sent.map(({ body }) => body.sessionId)).size).toBe(1);
    });

    it.each(["undefined", "null", "abc", "a-session.with-a-dot", "with a space in it", "a".repeat(65), "é".repeat(16)])(
      "is replaced where %s is stored, which the service would refuse",
      async (stored) => {
        browser.storage = { presenceId: stored };
        const tab = browser.open("/a");
        await pass();
        tab.leave();
        browser.open("/b");
        await pass();
        const ids = new Set(browser.sent.map(({ body }) => body.sessionId));
        expect(ids.size).toBe(1);
        expect([...ids][0]).toMatch(/^[\w-]{16,64}$/);
        expect(browser.storage).toEqual({ presenceId: [...ids][0] });
      },
    );

    it.each(["0123456789abcdef", "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b", "A_-".repeat(21)])(
      "is kept where %s is stored",
      async (stored) => {
        browser.storage = { presenceId: stored };
        browser.open("/a");
        await pass();
        expect(browser.sent.map(({ body }) => body.sessionId)).toEqual([stored]);
      },
    );

    it("is not made up before it is needed", async () => {
      browser.open("/a", {}, { isHidden: true });
      browser.open("/a", { auto: "false" });
      browser.open("/a", {}, { navigator: { webdriver: true } });
      await pass();
      expect(browser.storage).toEqual({});
    });
  });

  describe("of several tabs", () => {
    it("only one beats, with the path of the visible one", async () => {
      const first = browser.open("/first");
      await pass();
      first.hide();
      const second = browser.open("/second");
      await pass(2 * INTERVAL_MS + LOCK_RETRY_MS + 1);
      expect(browser.beats).toEqual(["/first", "/second", "/second", "/second"]);
      second.hide();
      first.show();
      await pass(LOCK_RETRY_MS);
      expect(browser.beats.slice(4)).toEqual(["/first"]);
    });

    it("that are all visible the first one beats, and when it closes the next", async () => {
      const tabs = ["/1", "/2", "/3"].map((path) => browser.open(path));
      await pass(INTERVAL_MS + 1);
      expect(browser.said).toEqual(["heartbeat /1", "heartbeat /1"]);
      tabs[0]!.leave();
      await pass(LOCK_RETRY_MAX_MS);
      expect(browser.said.slice(2)).toEqual(["leave", "heartbeat /2"]);
      tabs[1]!.leave();
      await pass(LOCK_RETRY_MAX_MS);
      expect(browser.said.slice(4)).toEqual(["leave", "heartbeat /3"]);
    });

    it("one that waits asks for the lock less and less often, and at once when it is looked at", async () => {
      browser.open("/1");
      await pass();
      const asked: number[] = [];
      const request = browser.request.bind(browser);
      vi.spyOn(browser, "request").mockImplementation((...args) => {
        asked.push(Date.now() - START - 1);
        return request(...args);
      });
      const second = browser.open("/2", {}, { html: "<b data-presence-count></b>" });
      await pass(10_000);
      const gaps = asked.slice(1).map((at, n) => Math.floor((at - asked[n]!) / 10) * 10); // a refusal takes 1 ms
      expect(gaps).toEqual([250, 500, 1_000, 2_000, 2_000, 2_000, 2_000]);
      expect(browser.loaded).toHaveLength(1); // the elements are looked for once
      second.hide();
      second.show();
      await pass(LOCK_RETRY_MS);
      expect(asked).toHaveLength(8 + 2);
    });

    it("one that has lost its lock, as only a BroadcastChannel loses it, stops and asks again", async () => {
      let lose = (_: unknown): unknown => undefined;
      vi.spyOn(browser, "request").mockImplementationOnce(async (_, __, callback) => {
        lose = callback;
        return callback({});
      });
      const tab = browser.open("/a");
      await pass(1_000);
      lose(0);
      tab.push("/b");
      expect(browser.beats).toEqual(["/a"]);
      await pass(LOCK_RETRY_MS);
      expect(browser.beats).toEqual(["/a", "/b"]);
    });

    it("one that waits and is closed says nothing", async () => {
      browser.open("/1");
      const second = browser.open("/2");
      await pass();
      second.leave();
      await pass();
      expect(browser.said).toEqual(["heartbeat /1"]);
    });

    it("the one that was looked at in between does not leave the wrong path behind", async () => {
      const first = browser.open("/first");
      await pass();
      const second = browser.open("/second", {}, { isHidden: true });
      first.hide();
      second.show();
      await pass(LOCK_RETRY_MS);
      second.hide();
      first.show();
      await pass(LOCK_RETRY_MS);
      expect(browser.beats).toEqual(["/first", "/second", "/first"]); // all within 5 s
    });

    it("one that asked twice and was refused once goes on", async () => {
      browser.refusedAfterMs = 50; // by then its heartbeat is no longer in flight
      const tab = browser.open("/a");
      tab.comeBack();
      tab.presence.heartbeat();
      await pass(3 * INTERVAL_MS + 1);
      expect(times()).toEqual([0, 1, 2, 3].map((n) => n * INTERVAL_MS));
    });

    it.each(["refused", "missing"] as const)("each beats where locks are %s", async (locks) => {
      browser.locks = locks;
      browser.lazy = "missing"; // with the BroadcastChannel that would be in their place
      const first = browser.open("/first");
      await pass();
      first.hide();
      browser.open("/second");
      await pass(INTERVAL_MS + 1);
      first.show();
      await pass();
      expect(browser.beats).toEqual(["/first", "/second", "/second", "/first"]);
    });
  });

  describe("a hidden tab", () => {
    it("sends nothing, and at once when it is visible again", async () => {
      const tab = browser.open("/a");
      await pass(10_000);
      tab.hide();
      await pass(10 * INTERVAL_MS);
      expect(browser.said).toEqual(["heartbeat /a"]);
      tab.show();
      await pass();
      expect(browser.said).toEqual(["heartbeat /a", "heartbeat /a"]);
      await pass(INTERVAL_MS);
      expect(browser.beats).toHaveLength(3);
    });

    it("beats again however short the interval", async () => {
      const tab = browser.open("/a", { interval: "1" });
      await pass(500);
      tab.hide();
      await pass(1_000);
      tab.show();
      await pass(3_001);
      expect(browser.beats).toHaveLength(5);
    });

    it("that is prerendered waits until it is shown", async () => {
      const tab = browser.open("/next", {}, { isHidden: true });
      await pass(INTERVAL_MS + 1);
      expect(browser.sent).toEqual([]);
      tab.show();
      await pass();
      expect(browser.beats).toEqual(["/next"]);
    });

    it("says nothing when it is closed", async () => {
      const tab = browser.open("/a");
      await pass();
      tab.hide();
      tab.leave();
      await pass();
      expect(browser.said).toEqual(["heartbeat /a"]);
    });
  });

  describe("a page that is left", () => {
    it("says goodbye, with the session's id, and nothing more", async () => {
      const tab = browser.open("/a");
      await pass();
      tab.leave();
      await pass(10 * INTERVAL_MS);
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
      expect(browser.sent[1]!.body.sessionId).toBe(browser.sent[0]!.body.sessionId);
    });

    it("beats at once when it comes back out of the back-forward cache", async () => {
      const tab = browser.open("/a");
      await pass();
      tab.leave();
      await pass(1_000);
      tab.comeBack();
      await pass();
      expect(browser.said).toEqual(["heartbeat /a", "leave", "heartbeat /a"]);
      await pass(INTERVAL_MS);
      expect(browser.beats).toHaveLength(3);
    });

    it("beats when it comes back even while its last heartbeat is in flight", async () => {
      browser.answer = { afterMs: 3_000 };
      const tab = browser.open("/a");
      await pass(1_000);
      tab.leave();
      await pass(500);
      tab.comeBack();
      await pass(2_000);
      expect(browser.said).toEqual(["heartbeat /a", "leave", "heartbeat /a"]);
    });

    it("says no goodbye where it has not said hello since it leads", async () => {
      browser.answer = "nothing";
      const tab = browser.open("/a");
      await pass();
      tab.hide();
      tab.show();
      await pass(LOCK_RETRY_MS); // it leads, but waits after the failure
      tab.leave();
      expect(browser.said).toEqual(["heartbeat /a"]);
    });

    it("does not mind a browser without beacons", async () => {
      const tab = browser.open("/a", {}, { navigator: { sendBeacon: undefined } });
      await pass();
      tab.leave();
      await pass();
      expect(browser.said).toEqual(["heartbeat /a"]);
    });
  });

  describe("nobody is counted", () => {
    const visits: [string, Record<string, string>, Parameters<Browser["open"]>[2], boolean][] = [
      ["localhost", {}, { host: "http://localhost:3000" }, false],
      ["127.0.0.1", {}, { host: "http://127.0.0.1:8080" }, false],
      ["127.1.2.3", {}, { host: "http://127.1.2.3" }, false],
      ["[::1]", {}, { host: "http://[::1]:8080" }, false],
      ["a file", {}, { host: "file://" }, false],
      ["webdriver", {}, { navigator: { webdriver: true } }, false],
      ["localhost that is told", { "allow-localhost": "" }, { host: "http://localhost" }, true],
      ["webdriver that is told", { "allow-localhost": "" }, { navigator: { webdriver: true } }, true],
      ["a host that is named alike", {}, { host: "https://localhost.example.org" }, true],
      ["DNT", { "respect-dnt": "" }, { navigator: { doNotTrack: "1" } }, false],
      ["Sec-GPC", { "respect-dnt": "" }, { navigator: { globalPrivacyControl: true } }, false],
      ["DNT 0", { "respect-dnt": "" }, { navigator: { doNotTrack: "0" } }, true],
      ["no DNT", { "respect-dnt": "" }, { navigator: { doNotTrack: null } }, true],
      ["DNT that is not asked for", {}, { navigator: { doNotTrack: "1", globalPrivacyControl: true } }, true],
      ["an excluded path", { exclude: "/x, /a" }, {}, false],
      ["an excluded beginning", { exclude: "/x,\n  /a*" }, {}, false],
      ["a path that begins like an excluded one", { exclude: "/ab, /" }, {}, true],
      ["nothing excluded", { exclude: "" }, {}, true],
      ["everything excluded", { exclude: "/*" }, {}, false],
      ["spaces around commas", { exclude: " /x , /a , /y" }, {}, false],
      ["a list that ends with a comma", { exclude: "/x,\n" }, {}, true],
      ["an excluded path that ends with a slash", { exclude: "/a/" }, {}, false],
      ["what is below an excluded path", { exclude: "/a/*" }, {}, false],
    ];

    it.each(visits)("or somebody is: %s", async (_, attributes, options, isCounted) => {
      const tab = browser.open("/a", attributes, options);
      await pass(INTERVAL_MS + 1);
      tab.presence.heartbeat();
      await pass();
      tab.leave();
      expect(browser.sent.length > 0).toBe(isCounted);
      expect(browser.storage).toEqual(isCounted ? { presenceId: expect.any(String) } : {});
    });

    const NOTE = [["presence: localhost is not counted without data-allow-localhost (npm: allowLocalhost)"]];
    const places: [string, Record<string, string>, unknown[]][] = [
      ["http://localhost:3000", {}, NOTE],
      ["http://127.0.0.1", { auto: "false" }, NOTE],
      ["file://", {}, NOTE],
      ["http://localhost", { "allow-localhost": "" }, []],
      [SITE, { exclude: "/a" }, []],
    ];

    it.each(places)("on %s with %o, which is said once", async (host, attributes, informed) => {
      const tab = browser.open("/a", attributes, { host });
      await pass(INTERVAL_MS);
      tab.presence.heartbeat();
      tab.show();
      await pass(INTERVAL_MS);
      expect(browser.informed).toEqual(informed);
    });

    it.each([
      ["/admin", "/admin", false],
      ["/admin/", "/admin", false],
      ["/admin/", "/admin/", false],
      ["/admin/users", "/admin", true],
      ["/admin/users", "/admin/*", false],
      ["/admin", "/admin/*", false],
      ["/administration", "/admin/*", true],
      ["/", "/", false],
      ["/a", "/", true],
    ])("on %s where %s is excluded, or somebody is", async (path, exclude, isCounted) => {
      browser.open(path, { exclude });
      await pass(1_000);
      expect(browser.beats).toEqual(isCounted ? [path] : []);
    });

    it.each(["missing", "old"] as const)("where rules are %s, until they are there", async (more) => {
      browser.lazy = more;
      browser.open("/a", { exclude: "/admin" });
      await pass(29_999);
      browser.lazy = "there";
      expect(browser.sent).toEqual([]);
      await pass(2);
      expect(browser.beats).toEqual(["/a"]);
    });

    it.each([undefined, ""])("where the tag names no site but %o, which is said", async (site) => {
      const tab = browser.open("/a", { site }, { html: "<b data-presence-count></b>" });
      tab.presence.subscribe(() => {})();
      tab.presence.heartbeat();
      await pass(INTERVAL_MS + 1);
      tab.leave();
      expect(browser.sent).toEqual([]);
      expect(browser.streams).toEqual([]);
      expect(browser.storage).toEqual({});
      expect(browser.logged).toEqual([["presence: data-site is missing"]]);
      browser.logged.length = 0;
    });

    it("on an excluded path, and who comes to it has left the others", async () => {
      const tab = browser.open("/a", { exclude: "/admin*" });
      await pass();
      tab.push("/admin/users");
      await pass(2 * INTERVAL_MS);
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
      tab.push("/b");
      await pass();
      expect(browser.said).toEqual(["heartbeat /a", "leave", "heartbeat /b"]);
    });

    it("on an excluded path, and one that was passed at once does not stop anything", async () => {
      const tab = browser.open("/a", { exclude: "/admin*" });
      await pass();
      tab.push("/admin");
      tab.push("/login"); // a router's redirect
      await pass(LOCK_RETRY_MS);
      expect(browser.said.at(-1)).toBe("heartbeat /login");
    });
  });

  describe("window.presence", () => {
    it("has exactly what is promised", () => {
      const { presence } = browser.open("/");
      expect(Object.keys(presence).sort()).toEqual(["heartbeat", "leave", "optOut", "subscribe"]);
    });

    it("leave says goodbye and stops, heartbeat starts again", async () => {
      const tab = browser.open("/a");
      await pass();
      tab.presence.leave();
      tab.presence.leave();
      await pass(3 * INTERVAL_MS);
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
      tab.presence.heartbeat();
      await pass(INTERVAL_MS + 1);
      expect(browser.said.slice(2)).toEqual(["heartbeat /a", "heartbeat /a"]);
      tab.presence.leave();
      tab.presence.heartbeat(); // in the same moment
      await pass(LOCK_RETRY_MS);
      expect(browser.said.slice(4)).toEqual(["leave", "heartbeat /a"]);
    });

    it("optOut ends it in all tabs and for good, and takes the id away", async () => {
      const tab = browser.open("/a");
      const other = browser.open("/b", {}, { isHidden: true });
      await pass();
      tab.presence.optOut();
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
      tab.hide();
      other.show();
      other.presence.heartbeat();
      browser.open("/c");
      await pass(3 * INTERVAL_MS);
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
      expect(browser.storage).toEqual({ presenceId: "" });
    });

    it("optOut in another tab ends this one at once where browsers say so", async () => {
      const tab = browser.open("/a");
      const other = browser.open("/b", {}, { isHidden: true });
      await pass();
      other.presence.optOut();
      tab.window.dispatchEvent(new tab.window.Event("storage"));
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
    });

    it("an opt-out that is taken back is not written again, and holds until the page is loaded anew", async () => {
      const tab = browser.open("/a");
      await pass();
      tab.presence.optOut();
      browser.storage = {};
      tab.hide();
      tab.show();
      tab.presence.heartbeat();
      await pass(3 * INTERVAL_MS);
      expect(browser.storage).toEqual({});
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
      browser.open("/b");
      await pass();
      expect(browser.beats).toEqual(["/a", "/b"]);
    });

    it("optOut in another tab ends this one at its next heartbeat", async () => {
      browser.open("/a");
      const other = browser.open("/b", {}, { isHidden: true });
      await pass();
      other.presence.optOut();
      await pass(3 * INTERVAL_MS);
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
      expect(new Set(browser.sent.map(({ body }) => body.sessionId)).size).toBe(1);
    });

    it("optOut holds as long as the page where storage throws", async () => {
      browser.storage = "throws";
      const tab = browser.open("/a");
      await pass();
      tab.presence.optOut();
      tab.presence.heartbeat();
      await pass(3 * INTERVAL_MS);
      expect(browser.said).toEqual(["heartbeat /a", "leave"]);
    });

    it("optOut before anything was sent is kept too", async () => {
      const tab = browser.open("/a", { auto: "false" });
      tab.presence.optOut();
      tab.presence.heartbeat();
      await pass();
      expect(browser.said).toEqual([]);
      expect(browser.storage).toEqual({ presenceId: "" });
    });

    it("waits for heartbeat() with data-auto=false, and goes on from there", async () => {
      const tab = browser.open("/a", { auto: "false" });
      await pass(INTERVAL_MS + 1);
      tab.push("/b");
      tab.hide();
      tab.show();
      await pass();
      expect(browser.sent).toEqual([]);
      tab.presence.heartbeat();
      await pass(INTERVAL_MS + 1);
      tab.push("/c");
      await pass();
      expect(browser.beats).toEqual(["/b", "/b", "/c"]);
    });

    /** The stand-in of client/README.md, run before the deferred script. */
    const standIn = (tab: Tab) => {
      const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
      tab.window.eval(/<script>\n(window\.presence \?\?= [^]*?)<\/script>/.exec(readme)![1]!);
      return tab.window.presence!;
    };

    it.each([undefined, "false"])("heartbeat() before the script is there is kept, with data-auto=%s", async (auto) => {
      const tab = browser.open("/a", {}, { scripts: 0 });
      standIn(tab).heartbeat!();
      await pass(1_000);
      expect(browser.sent).toEqual([]);
      tab.load({ auto });
      await pass();
      expect(browser.beats).toEqual(["/a"]);
      tab.presence.leave();
      await pass();
      tab.presence.heartbeat();
      await pass();
      expect(browser.said).toEqual(["heartbeat /a", "leave", "heartbeat /a"]);
    });

    it("a stand-in that nobody called starts nothing", async () => {
      const tab = browser.open("/a", {}, { scripts: 0 });
      standIn(tab);
      tab.load({ auto: "false" });
      await pass(INTERVAL_MS);
      expect(browser.sent).toEqual([]);
      tab.presence.heartbeat();
      await pass();
      expect(browser.beats).toEqual(["/a"]);
    });

    it("optOut() before the script is there holds", async () => {
      const tab = browser.open("/a", {}, { scripts: 0 });
      standIn(tab).optOut!();
      tab.load();
      await pass(INTERVAL_MS);
      expect(browser.sent).toEqual([]);
      expect(browser.storage).toEqual({ presenceId: "" });
    });

    it("with data-auto=false shows no numbers either before heartbeat()", async () => {
      const tab = browser.open("/a", { auto: "false" }, { html: "<b data-presence-count></b>" });
      tab.hide();
      tab.show();
      await pass(INTERVAL_MS);
      expect(browser.loaded).toEqual([]);
      tab.presence.heartbeat();
      await pass();
      expect(browser.streams).toEqual([`${API}/v1/sites/blog/live`]);
    });

    it("subscribe and its end wait until presence-live.js can be loaded", async () => {
      browser.lazy = "missing";
      const tab = browser.open("/a", { auto: "false" });
      tab.presence.subscribe(() => {})();
      tab.presence.subscribe(() => {});
      await pass(1_000);
      browser.lazy = "there";
      await pass(28_000);
      expect(browser.streams).toEqual([]);
      expect(new Set(browser.loaded)).toEqual(new Set([`${API}/presence-live.js`]));
      await pass(1_001);
      expect(browser.streams.length).toBeGreaterThan(0);
      expect(new Set(browser.loaded.slice(3)).size).toBe(1); // one copy, at another address than before
      expect(browser.loaded[3]).toMatch(/presence-live\.js\?+$/);
      tab.presence.subscribe(() => {});
      await pass();
      expect(new Set(browser.loaded.slice(3)).size).toBe(1); // not another copy of it
    });

    it("elements are filled in when presence-live.js can be loaded, with the next heartbeat", async () => {
      browser.lazy = "missing";
      browser.open("/a", {}, { html: "<b data-presence-count></b>" });
      await pass();
      browser.lazy = "there";
      await pass(INTERVAL_MS);
      expect(browser.streams).toEqual([`${API}/v1/sites/blog/live`]);
      await pass(REQUEST_TIMEOUT_MS);
      expect(vi.getTimerCount()).toBe(2); // the next heartbeat, and the stream is still silent
    });

    it("is there once, however often the script is", async () => {
      browser.open("/a", {}, { scripts: 3 });
      await pass(INTERVAL_MS + 1);
      expect(browser.beats).toEqual(["/a", "/a"]);
    });

    it("is there when an element has its name", async () => {
      const tab = browser.open("/a", {}, { html: "<b id=presence></b>" });
      await pass();
      expect(browser.beats).toEqual(["/a"]);
      expect(tab.presence.heartbeat).toBeTypeOf("function");
    });

    it("subscribe gives back a function even where live numbers cannot be loaded", async () => {
      browser.lazy = "missing";
      const tab = browser.open("/a", {}, { html: "<b data-presence-count>–</b>" });
      const stop = tab.presence.subscribe(() => {});
      stop();
      stop();
      await pass();
      expect(tab.window.document.querySelector("b")!.textContent).toBe("–");
    });

    it("leaves nothing else on the page", async () => {
      const before = new Set(Object.getOwnPropertyNames(browser.open("/", {}, { scripts: 0 }).window));
      const after = Object.getOwnPropertyNames(browser.open("/").window);
      expect(after.filter((name) => !before.has(name))).toEqual(["presence"]);
    });
  });

  it("of three tabs sends no more than one would, over ten minutes of use", async () => {
    const tabs = ["/1", "/2", "/3"].map((path) => browser.open(path));
    for (let minute = 0; minute < 10; minute++) {
      tabs[minute % 3]!.push(`/page/${minute}`);
      await pass(60_000);
    }
    const moves = 4; // of the leading tab
    expect(browser.beats.length).toBeGreaterThan(10);
    expect(browser.beats.length).toBeLessThanOrEqual(1 + moves + 600_000 / INTERVAL_MS);
    expect(new Set(browser.sent.map(({ tab }) => tab))).toEqual(new Set(["/1"]));
  });

  it("that waits for the lock asks for it by one timer, however often it is woken", async () => {
    browser.open("/1");
    const waiting = browser.open("/2");
    await pass(1_000);
    for (let n = 0; n < 50; n++) waiting.push(`/2/${n}`);
    await pass(REQUEST_TIMEOUT_MS + 1);
    expect(vi.getTimerCount()).toBe(2); // its own, and the next heartbeat of the one that leads
  });
});
