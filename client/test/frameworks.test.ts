// @vitest-environment jsdom

/** What React, Vue and Svelte show of the one core: the same, in every state. */

import { act, cleanup, render } from "@testing-library/react";
import { createElement } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApp, effectScope, h, nextTick, reactive, ref } from "vue";
import type * as Index from "../src/index.js";
import type { CountsOptions, Live } from "../src/live_state.js";
import type { LiveCounts, PresenceOptions } from "../src/index.js";
import { Source } from "./event_source.js";

const API = "https://presence.example.org";

type State = Live<LiveCounts>;

/** What a component shows, in the framework's own way. */
interface Shown {
  state(): State;
  change(options: CountsOptions): Promise<void>;
  unmount(): void;
}

interface Framework {
  show(options: CountsOptions): Promise<Shown>;
  track(options?: PresenceOptions): Promise<Pick<Shown, "unmount"> & { change(options: PresenceOptions): void }>;
}

const react: Framework = {
  async show(options) {
    const { usePresence } = await import("../src/react.js");
    let latest!: State;
    const Page = (given: CountsOptions) => {
      latest = usePresence(given);
      return null;
    };
    const { rerender, unmount } = render(createElement(Page, options));
    return {
      state: () => latest,
      change: async (changed) => rerender(createElement(Page, changed)),
      unmount,
    };
  },
  async track(options) {
    const { usePageTracking } = await import("../src/react.js");
    const Page = ({ given }: { given: PresenceOptions | undefined }) => {
      usePageTracking(given);
      return null;
    };
    const { rerender, unmount } = render(createElement(Page, { given: options }));
    return { change: (given) => rerender(createElement(Page, { given })), unmount };
  },
};

const vue: Framework = {
  async show(options) {
    const { usePresence } = await import("../src/vue.js");
    const given = ref(options);
    let shown!: ReturnType<typeof usePresence>;
    const app = createApp({
      setup() {
        shown = usePresence(() => given.value);
        return () => h("b", shown.value.activeVisitors);
      },
    });
    app.mount(document.createElement("div"));
    return {
      state: () => shown.value,
      async change(changed) {
        given.value = changed;
        await nextTick();
      },
      unmount: () => app.unmount(),
    };
  },
  async track(options) {
    const { usePageTracking } = await import("../src/vue.js");
    const given = ref(options);
    const app = createApp({
      setup() {
        usePageTracking(given);
        return () => h("b");
      },
    });
    app.mount(document.createElement("div"));
    return { change: (changed) => (given.value = changed), unmount: () => app.unmount() };
  },
};

/** As a component does with `$derived(presence(…))`, which the app in apps/svelte has. */
const svelte: Framework = {
  async show(options) {
    const { presence } = await import("../src/svelte.js");
    let latest!: State;
    const take = (state: State) => (latest = state);
    let unsubscribe = presence(options).subscribe(take);
    return {
      state: () => latest,
      async change(changed) {
        unsubscribe();
        unsubscribe = presence(changed).subscribe(take);
      },
      unmount: () => unsubscribe(),
    };
  },
  async track(options) {
    const { trackPage } = await import("../src/svelte.js");
    let end = trackPage(options);
    return {
      change(changed) {
        end();
        end = trackPage(changed);
      },
      unmount: () => end(),
    };
  },
};

const FRAMEWORKS = { react, vue, svelte };
const NAMES = Object.keys(FRAMEWORKS) as (keyof typeof FRAMEWORKS)[];

const sent: string[] = [];
const open = () => Source.all.filter(({ readyState }) => readyState == 1);
const urls = () => open().map(({ url }) => url.replace(`${API}/v1/sites/`, ""));
const until = (condition: () => void) => act(() => vi.waitFor(condition));

const say = (activeVisitors: number, onA = 1) =>
  act(async () => {
    const activeByPath = [
      { path: "/a", count: onA },
      { path: "/b", count: activeVisitors - onA },
    ];
    const data = JSON.stringify({ activeVisitors, activeByPath, totalPageViews: 9, uniqueVisitors: 8, asOf: 7 });
    open()[0]!.dispatchEvent(new MessageEvent("snapshot", { data }));
  });

const lose = () =>
  act(async () => (open()[0] as unknown as { onerror(): void }).onerror());

let index: typeof Index;

beforeEach(async () => {
  sent.length = 0;
  Source.all = [];
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("fetch", async (url: string) => {
    sent.push(url.split("/").slice(-2).join(" "));
    return new Response(null, { status: 204 });
  });
  Object.defineProperties(navigator, {
    locks: { configurable: true, value: { request: (_: unknown, __: unknown, hold: (lock: unknown) => unknown) => hold({}) } },
    sendBeacon: { configurable: true, value: (url: string) => sent.push(url.split("/").slice(-2).join(" ")) },
  });
  localStorage.clear();
  vi.resetModules();
  index = await import("../src/index.js");
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

describe.each(NAMES)("%s", (name) => {
  const framework = FRAMEWORKS[name];

  it("says connecting, live and stale, and since when", async () => {
    const shown = await framework.show({ api: API, site: "blog", path: "/a" });
    expect(shown.state()).toEqual({ state: "connecting" });
    await until(() => expect(urls()).toEqual(["blog/live"]));
    expect(shown.state()).toEqual({ state: "connecting" });
    await say(3);
    const numbers = { activeVisitors: 3, activeOnPath: 1, totalPageViews: 9, uniqueVisitors: 8, asOf: 7 };
    expect(shown.state()).toEqual({ ...numbers, isConnected: true, state: "live" });
    const before = Date.now();
    await lose();
    expect(shown.state()).toMatchObject({ ...numbers, isConnected: false, state: "stale" });
    const { staleSince } = shown.state();
    expect(staleSince).toBeGreaterThanOrEqual(before);
    expect(staleSince).toBeLessThanOrEqual(Date.now());
    await say(4);
    expect(shown.state()).toMatchObject({ activeVisitors: 4, state: "live" });
    expect(shown.state().staleSince).toBeUndefined();
    shown.unmount();
  });

  it("says the same time to who comes later", async () => {
    const first = await framework.show({ api: API, site: "blog" });
    await until(() => expect(urls()).toEqual(["blog/live"]));
    await say(3);
    vi.spyOn(Date, "now").mockReturnValue(1_000);
    await lose();
    vi.spyOn(Date, "now").mockReturnValue(9_000);
    const second = await framework.show({ api: API, site: "blog", path: "/a" });
    await until(() => expect(second.state()).toMatchObject({ state: "stale", activeOnPath: 1 }));
    expect([first, second].map((shown) => shown.state().staleSince)).toEqual([1_000, 1_000]);
    expect(urls()).toEqual(["blog/live"]);
    first.unmount();
    second.unmount();
  });

  it("shows nothing of the old site when it is told another, and no stream stays", async () => {
    const shown = await framework.show({ api: API, site: "blog" });
    await until(() => expect(urls()).toEqual(["blog/live"]));
    await say(3);
    await shown.change({ api: API, site: "shop" });
    expect(shown.state()).toEqual({ state: "connecting" });
    await until(() => expect(urls()).toEqual(["shop/live"]));
    await say(5);
    expect(shown.state()).toMatchObject({ activeVisitors: 5, state: "live" });
    shown.unmount();
    await until(() => expect(urls()).toEqual([]));
  });

  it("shows the numbers of another page when it is told that", async () => {
    const shown = await framework.show({ api: API, site: "blog", path: "/a" });
    await until(() => expect(urls()).toEqual(["blog/live"]));
    await say(3);
    await shown.change({ api: API, site: "blog", path: "/b" });
    await until(() => expect(urls()).toEqual(["blog/live"]));
    await say(3);
    expect(shown.state().activeOnPath).toBe(2);
    shown.unmount();
  });

  it("leaves nothing behind where it is gone before it began", async () => {
    const shown = await framework.show({ api: API, site: "blog" });
    shown.unmount();
    const other = await framework.show({ api: API, site: "shop" });
    await until(() => expect(urls()).toEqual(["shop/live"]));
    other.unmount();
    await until(() => expect(urls()).toEqual([]));
  });

  it("counts the visitor, and of which site, until it is gone", async () => {
    const options = { api: API, allowLocalhost: true };
    const tracking = await framework.track({ ...options, site: "blog" });
    await until(() => expect(sent).toEqual(["blog heartbeat"]));
    const second = await framework.track({ ...options, site: "blog" });
    second.unmount();
    tracking.change({ ...options, site: "shop" });
    await until(() => expect(sent).toEqual(["blog heartbeat", "blog leave", "shop heartbeat"]));
    const shown = await framework.show({}); // of the client that runs
    await until(() => expect(urls()).toEqual(["shop/live"]));
    shown.unmount();
    tracking.unmount();
    await until(() => expect(sent.at(-1)).toBe("shop leave"));
    await until(() => expect(urls()).toEqual([]));
  });
});

it("Vue takes a reactive object, and a scope that is not a component's", async () => {
  const { usePresence } = await import("../src/vue.js");
  const options = reactive({ api: API, site: "blog" });
  const scope = effectScope();
  const shown = scope.run(() => usePresence(options))!;
  await until(() => expect(urls()).toEqual(["blog/live"]));
  options.site = "shop";
  await until(() => expect(urls()).toEqual(["shop/live"]));
  await say(2);
  expect(shown.value).toMatchObject({ activeVisitors: 2 });
  scope.stop();
  await until(() => expect(urls()).toEqual([]));
});

it("a site that is missing is an error of the program, also when its numbers are shown", () => {
  expect(() => index.watchPresence({ site: "" }, () => {})).toThrow(TypeError);
});
