// @vitest-environment jsdom

/** Live numbers: the stream, who is told what, and elements that show them. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LiveCounts, LazyModule } from "../src/types.js";

const URL = "https://presence.example.org/v1/sites/blog/";

/** An EventSource that the test speaks through; the browser's own cannot be reached here. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static all: Source[] = [];
  static get open(): Source[] {
    return Source.all.filter(({ readyState }) => readyState != 2);
  }
  readyState = 1;
  onerror: (() => void) | undefined;
  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  close(): void {
    this.readyState = 2;
  }
  say(name: string, event: object): void {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(event) }));
  }
  fail(readyState: number): void {
    this.readyState = readyState;
    this.onerror?.();
  }
}

const event = (activeVisitors: number, pages: Record<string, number>, more: object = {}) => ({
  activeVisitors,
  activeByPath: Object.entries(pages).map(([path, count]) => ({ path, count })),
  totalPageViews: 120,
  uniqueVisitors: 41,
  asOf: 1_764_000_000_000,
  ...more,
});

type Listening = Parameters<typeof window.addEventListener>;
const listen = window.addEventListener;
const listening: Listening[] = [];

let isHidden = false;
const set = (hidden: boolean) => {
  isHidden = hidden;
  dispatchEvent(new Event("visibilitychange"));
};

describe.each([
  ["source", () => import("../src/lazy.js")],
  ["built", () => import("../../service/web/static/presence-live.js" as string)],
])("live numbers, %s", (_, load) => {
  let lazy: LazyModule;
  let told: LiveCounts[];
  const fetched = vi.fn<typeof fetch>();
  const subscribe = (options?: { path: string }, url = URL) => {
    const subscription = [(counts: LiveCounts) => void told.push(counts), options] as const;
    lazy.live(url, subscription, true);
    return () => lazy.live(url, subscription);
  };
  const source = () => Source.all.at(-1)!;

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    vi.spyOn(Math, "random").mockReturnValue(0);
    vi.spyOn(document, "hidden", "get").mockImplementation(() => isHidden);
    vi.stubGlobal("EventSource", Source);
    vi.stubGlobal("fetch", fetched);
    vi.resetModules();
    fetched.mockReset();
    Source.all = [];
    told = [];
    isHidden = false;
    document.body.innerHTML = "";
    listening.length = 0;
    vi.spyOn(window, "addEventListener").mockImplementation((...args) => {
      listening.push(args);
      listen.apply(window, args);
    });
    lazy = (await load()) as LazyModule;
  });

  afterEach(() => {
    for (const args of listening) removeEventListener(...args); // this page is gone
    vi.useRealTimers();
  });

  it("tells what the stream says, and nothing twice", () => {
    subscribe();
    expect(source().url).toBe(`${URL}live`);
    expect(told).toEqual([]);
    source().say("snapshot", event(3, { "/": 2, "/a": 1 }));
    source().say("change", event(3, { "/": 1, "/a": 2 }));
    source().say("change", event(4, { "/a": 3 }, { asOf: 7 }));
    expect(told).toEqual([
      { activeVisitors: 3, totalPageViews: 120, uniqueVisitors: 41, asOf: 1_764_000_000_000, isConnected: true },
      { activeVisitors: 4, totalPageViews: 120, uniqueVisitors: 41, asOf: 7, isConnected: true },
    ]);
  });

  it.each([
    ["/a", 1, 5],
    ["/a/?x=1#y", 1, 5],
    ["/none", 0, 0],
    ["/", 2, 2],
  ])("tells the visitors of a page: %s", (path, before, after) => {
    subscribe({ path });
    source().say("snapshot", event(3, { "/": 2, "/a": 1 }));
    source().say("change", event(7, { "/a": 5 }));
    expect(told.map(({ activeOnPath }) => activeOnPath)).toEqual([before, after]);
  });

  it("asks for a page that is not among the busiest, once, and then hears of its changes", async () => {
    fetched.mockResolvedValue(new Response('{"activeVisitors": 2}'));
    subscribe({ path: "/rare" });
    subscribe({ path: "/rare" });
    source().say("snapshot", event(100, { "/": 60 }));
    expect(told).toEqual([]); // never a guess
    await vi.advanceTimersByTimeAsync(1);
    expect(fetched.mock.calls).toEqual([[`${URL}active?path=%2Frare`, { credentials: "omit", referrer: "" }]]);
    expect(told.map(({ activeOnPath }) => activeOnPath)).toEqual([2, 2]);
    source().say("change", event(99, { "/rare": 1 }));
    expect(told.map(({ activeOnPath }) => activeOnPath)).toEqual([2, 2, 1, 1]);
  });

  it("asks again with the next event when that failed, and believes the stream first", async () => {
    fetched.mockRejectedValueOnce(new TypeError("Failed to fetch"));
    subscribe({ path: "/rare" });
    source().say("snapshot", event(100, { "/": 60 }));
    await vi.advanceTimersByTimeAsync(1);
    let answer = (_: Response) => {};
    fetched.mockReturnValueOnce(new Promise((resolve) => (answer = resolve)));
    source().say("change", event(101, { "/": 61 }));
    source().say("change", event(102, { "/rare": 9 }));
    answer(new Response('{"activeVisitors": 2}'));
    await vi.advanceTimersByTimeAsync(1);
    expect(told.map(({ activeOnPath }) => activeOnPath)).toEqual([9]);
    expect(fetched).toHaveBeenCalledTimes(2);
  });

  it("has one connection a site, while anybody subscribes", () => {
    const stops = [subscribe(), subscribe({ path: "/a" }), subscribe()];
    expect(Source.all).toHaveLength(1);
    subscribe(undefined, URL.replace("blog", "shop"))();
    for (const stop of stops) {
      expect(Source.open).toHaveLength(1);
      stop();
      stop();
    }
    expect(Source.open).toHaveLength(0);
    subscribe();
    expect(Source.open).toHaveLength(1);
    expect(told).toEqual([]); // old numbers are forgotten
  });

  it("tells nothing of before, nor a 0, where the connection fails before the first numbers", () => {
    subscribe()();
    const stop = subscribe();
    source().say("snapshot", event(3, { "/": 3 }));
    stop();
    told.length = 0;
    subscribe();
    subscribe({ path: "/" });
    source().fail(0);
    expect(told).toEqual([]);
  });

  it("asks anew after a new snapshot, whatever is still on its way", async () => {
    const answers: ((answer: Response) => void)[] = [];
    fetched.mockImplementation(() => new Promise((resolve) => answers.push(resolve)));
    subscribe({ path: "/rare" });
    source().say("snapshot", event(100, { "/": 60 }));
    source().say("snapshot", event(100, { "/": 60 }));
    source().say("change", event(100, { "/": 60 }));
    expect(answers).toHaveLength(2);
    answers[1]!(new Response('{"activeVisitors": 2}'));
    await vi.advanceTimersByTimeAsync(1);
    answers[0]!(new Response('{"activeVisitors": 7}'));
    await vi.advanceTimersByTimeAsync(1);
    expect(told.map(({ activeOnPath }) => activeOnPath)).toEqual([2]);
  });

  it("tells who comes later at once what is known", () => {
    subscribe();
    source().say("snapshot", event(3, { "/": 3 }));
    subscribe({ path: "/" });
    expect(told.at(-1)).toMatchObject({ activeVisitors: 3, activeOnPath: 3 });
  });

  it.each([
    ["hidden", () => set(true), () => set(false)],
    ["left", () => dispatchEvent(new Event("pagehide")), () => dispatchEvent(new Event("pageshow"))],
  ])("is not connected while the page is %s", (_, away, back) => {
    subscribe();
    away();
    expect(Source.open).toHaveLength(0);
    back();
    expect(Source.open).toHaveLength(1);
    source().say("snapshot", event(1, {}));
    expect(told).toHaveLength(1);
  });

  it("does not connect before a page is visible", () => {
    isHidden = true;
    subscribe();
    expect(Source.all).toHaveLength(0);
    set(false);
    expect(Source.all).toHaveLength(1);
  });

  it("says when the connection is lost and when it is back, and lets the browser reconnect", async () => {
    subscribe();
    source().say("snapshot", event(3, {}));
    source().fail(0);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(Source.all).toHaveLength(1);
    source().say("change", event(3, {}));
    expect(told.map(({ isConnected }) => isConnected)).toEqual([true, false, true]);
  });

  it("connects again, later and later, where the browser has given up", async () => {
    subscribe();
    const opened: number[] = [];
    for (const seconds of [5, 10, 20, 40, 80, 160, 300, 300]) {
      const before = Source.all.length;
      source().fail(2);
      await vi.advanceTimersByTimeAsync(seconds * 1000 - 1);
      expect(Source.all).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      opened.push(Source.all.length - before);
    }
    expect(new Set(opened)).toEqual(new Set([1]));
    source().say("snapshot", event(3, {}));
    source().fail(2);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(Source.open).toHaveLength(1);
  });

  it("fetches the numbers where a proxy holds the stream back", async () => {
    let visitors = 3;
    const answer = () => Promise.resolve(new Response(JSON.stringify(event(visitors, { "/": visitors++ }))));
    fetched.mockImplementation(answer);
    subscribe({ path: "/" });
    await vi.advanceTimersByTimeAsync(4_999);
    expect(Source.open).toHaveLength(1);
    expect(fetched).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(Source.open).toHaveLength(0); // what it brings one day is old by then
    expect(fetched.mock.calls).toEqual([[`${URL}stats`, { credentials: "omit", referrer: "" }]]);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(told.map(({ activeOnPath, isConnected }) => [activeOnPath, isConnected])).toEqual([
      [3, true],
      [4, true],
      [5, true],
    ]);
    fetched.mockResolvedValue(new Response("{}", { status: 503 }));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(told.at(-1)).toMatchObject({ activeOnPath: 5, isConnected: false });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(Source.open).toHaveLength(1); // perhaps it is not held back any more
    source().say("snapshot", event(9, { "/": 9 }));
    await vi.advanceTimersByTimeAsync(600_000);
    expect(told.at(-1)).toMatchObject({ activeOnPath: 9, isConnected: true });
    expect(Source.all).toHaveLength(2);
    expect(fetched).toHaveBeenCalledTimes(4);
  });

  it("fetches nothing while the page is hidden, and tries the stream again after it", async () => {
    let answer = (_: Response) => {};
    fetched.mockReturnValue(new Promise((resolve) => (answer = resolve)));
    subscribe();
    await vi.advanceTimersByTimeAsync(5_000);
    set(true);
    answer(new Response(JSON.stringify(event(3, {}))));
    await vi.advanceTimersByTimeAsync(600_000);
    expect(fetched).toHaveBeenCalledTimes(1);
    expect(told).toEqual([]);
    set(false);
    expect(Source.open).toHaveLength(1);
  });

  it("does not connect again when nobody subscribes any more", async () => {
    const stop = subscribe();
    source().fail(2);
    stop();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(Source.all).toHaveLength(1);
  });

  it("goes on where a subscriber fails, and says so", () => {
    const reported = vi.fn();
    vi.stubGlobal("reportError", reported);
    lazy.live(URL, [() => { throw new Error("mine"); }], true); // prettier-ignore
    subscribe();
    source().say("snapshot", event(3, {}));
    expect(told).toHaveLength(1);
    expect(reported).toHaveBeenCalledOnce();
  });

  describe("elements", () => {
    const texts = () => [...document.querySelectorAll("b")].map(({ textContent }) => textContent);

    it("show the site's number or a page's, of before and of later", () => {
      document.body.innerHTML = '<b data-presence-count>–</b><b data-presence-count="/a/">–</b><b>as it is</b>';
      lazy.live(URL);
      lazy.live(URL);
      expect(texts()).toEqual(["–", "–", "as it is"]);
      source().say("snapshot", event(3, { "/": 2, "/a": 1 }));
      expect(texts()).toEqual(["3", "1", "as it is"]);
      document.body.insertAdjacentHTML("beforeend", '<b data-presence-count="/">–</b>');
      source().say("change", event(3, { "/": 1, "/a": 2 }));
      expect(texts()).toEqual(["3", "2", "as it is", "1"]);
      document.body.insertAdjacentHTML("beforeend", "<b data-presence-count>–</b>");
      lazy.live(URL); // as the client does when the path changes
      expect(texts().at(-1)).toBe("3");
      expect(Source.all).toHaveLength(1);
    });

    it.each([
      ["/caf%C3%A9", "/café"],
      ["/cafe%CC%81/", "/café"],
      ["/a%20b%2Fc", "/a b%2Fc"],
      ["/100%25", "/100%25"],
      ["/%E4%zz", "/%E4%zz"],
      ["/a?b=%20", "/a"],
    ])("may spell a page as browsers do: %s", (spelled, path) => {
      document.body.innerHTML = `<b data-presence-count="${spelled}">–</b>`;
      lazy.live(URL);
      source().say("snapshot", event(3, { [path]: 2 }));
      expect(texts()).toEqual(["2"]);
    });

    it("say whether their number is of now", () => {
      document.body.innerHTML = "<b data-presence-count>–</b>";
      const element = document.querySelector("b")!;
      lazy.live(URL);
      expect(element.dataset.presenceState).toBeUndefined();
      source().say("snapshot", event(3, {}));
      expect(element.dataset.presenceState).toBe("live");
      source().fail(0);
      expect(element.dataset.presenceState).toBe("lost");
      expect(element.textContent).toBe("3");
    });

    it("that are gone end the connection", () => {
      document.body.innerHTML = "<b data-presence-count>–</b>";
      lazy.live(URL);
      source().say("snapshot", event(3, {}));
      document.body.innerHTML = "";
      source().say("change", event(4, {}));
      expect(Source.open).toHaveLength(0);
    });
  });
});
