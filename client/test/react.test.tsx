// @vitest-environment jsdom

/** createPresence and the React hooks, in a page. */

import { act, cleanup, render } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type * as Index from "../src/index.js";
import type * as Hooks from "../src/react.js";
import { Source } from "./event_source.js";

const API = "https://presence.example.org";
const OPTIONS = { api: API, site: "blog", allowLocalhost: true };

let index: typeof Index;
let hooks: typeof Hooks;
const sent: string[] = [];
const settle = (ms = 60) => act(() => new Promise((resolve) => setTimeout(resolve, ms)));

const snapshot = async (source: Source, activeVisitors: number, onA: number) => {
  const data = JSON.stringify({
    activeVisitors,
    activeByPath: [{ path: "/a", count: onA }],
    totalPageViews: 9,
    uniqueVisitors: 8,
    asOf: 7,
  });
  await act(() => void source.dispatchEvent(new MessageEvent("snapshot", { data })));
};

type Listening = Parameters<typeof window.addEventListener>;
const listen = window.addEventListener;
const listening: Listening[] = [];
const { pushState, replaceState } = history;

beforeEach(async () => {
  sent.length = 0;
  vi.spyOn(window, "addEventListener").mockImplementation((...args) => {
    listening.push(args);
    listen.apply(window, args);
  });
  Source.all = [];
  const held = new Set<string>();
  Object.defineProperties(navigator, {
    locks: {
      configurable: true,
      value: {
        async request(name: string, _: unknown, callback: (lock: unknown) => unknown): Promise<void> {
          await undefined;
          const isFree = !held.has(name);
          if (isFree) held.add(name);
          await callback(isFree ? {} : null);
          if (isFree) held.delete(name);
        },
      },
    },
    sendBeacon: { configurable: true, value: (url: string) => sent.push(url.split("/").at(-1)!) },
  });
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("fetch", async (url: string, { body }: { body: string }) => {
    sent.push(`${url.split("/").at(-1)} ${JSON.parse(body).currentPath}`);
    return new Response(null, { status: 204 });
  });
  localStorage.clear();
  history.replaceState(null, "", "/a");
  vi.resetModules();
  index = await import("../src/index.js");
  hooks = await import("../src/react.js");
  await import("../src/lazy.js"); // it is there at once when it is asked for
});

afterEach(() => {
  cleanup();
  index.currentPresence().leave();
  for (const args of listening.splice(0)) removeEventListener(...args); // this page is gone
  Object.assign(history, { pushState, replaceState });
});

describe("createPresence", () => {
  it("counts, and once for the same site", async () => {
    const presence = index.createPresence(OPTIONS);
    expect(index.createPresence({ ...OPTIONS, api: `${API}/` })).toBe(presence);
    expect(index.createPresence({ ...OPTIONS, site: "shop", auto: false })).not.toBe(presence);
    await settle();
    expect(sent).toEqual(["heartbeat /a"]);
  });

  it.each([
    [{ auto: false }, false],
    [{ auto: true }, true],
    [{ exclude: ["/b", "/a"] }, false],
    [{ exclude: ["/b", "/a*"] }, false],
    [{ exclude: [] }, true],
    [{ allowLocalhost: false }, false],
    [{ respectDnt: false, hash: false }, true],
    [{ interval: 10 }, true],
  ])("takes its options as values: %o", async (options, isCounted) => {
    index.createPresence({ ...OPTIONS, ...options });
    await settle();
    expect(sent.length > 0).toBe(isCounted);
  });

  it("subscribes over the same stream as the hooks", async () => {
    const told = vi.fn();
    const stop = index.createPresence(OPTIONS).subscribe(told, { path: "/a" });
    index.watchPresence(OPTIONS, told);
    await settle();
    expect(Source.all.map(({ url }) => url)).toEqual([`${API}/v1/sites/blog/live`]);
    await snapshot(Source.all[0]!, 3, 2);
    expect(told).toHaveBeenCalledTimes(2);
    expect(told.mock.calls[0]![0]).toMatchObject({ activeVisitors: 3, activeOnPath: 2, isConnected: true });
    stop();
  });
});

describe("usePageTracking", () => {
  const Tracker = ({ options }: { options?: Index.PresenceOptions }) => {
    hooks.usePageTracking(options);
    return null;
  };

  it.each([false, true])("counts while it is mounted, with strict mode %s", async (isStrict) => {
    const tracker = <Tracker options={{ ...OPTIONS }} />;
    const { rerender, unmount } = render(isStrict ? <StrictMode>{tracker}</StrictMode> : tracker);
    await settle(300);
    rerender(isStrict ? <StrictMode>{tracker}</StrictMode> : <Tracker options={{ ...OPTIONS }} />);
    history.pushState(null, "", "/b");
    await settle();
    expect(sent).toEqual(["heartbeat /a", "heartbeat /b"]);
    unmount();
    history.pushState(null, "", "/c");
    await settle();
    expect(sent).toEqual(["heartbeat /a", "heartbeat /b", "leave"]);
  });

  it.each([false, true])("counts mounts: the last one out says goodbye, with strict mode %s", async (isStrict) => {
    const page = (...trackers: string[]) => {
      const all = trackers.map((key) => <Tracker key={key} options={{ ...OPTIONS }} />);
      return isStrict ? <StrictMode>{all}</StrictMode> : <>{all}</>;
    };
    const { rerender } = render(page("layout", "old"));
    await settle(300);
    rerender(page("layout", "old", "new")); // during an exit animation
    rerender(page("layout", "new"));
    rerender(page("new"));
    await settle();
    history.pushState(null, "", "/b");
    await settle();
    expect(sent).toEqual(["heartbeat /a", "heartbeat /b"]);
    rerender(page());
    await settle();
    expect(sent).toEqual(["heartbeat /a", "heartbeat /b", "leave"]);
    rerender(page("again"));
    await settle(300);
    expect(sent.at(-1)).toBe("heartbeat /b");
  });

  it("counts mounts of each site by itself", async () => {
    const shop = { ...OPTIONS, site: "shop" };
    const both = (isShopOpen: boolean) => (
      <>
        <Tracker key="blog" options={OPTIONS} />
        {isShopOpen && <Tracker key="shop" options={shop} />}
      </>
    );
    const { rerender } = render(both(true));
    await settle(300);
    rerender(both(false));
    await settle();
    expect(sent).toEqual(["heartbeat /a", "heartbeat /a", "leave"]);
    index.createPresence(shop).leave();
  });

  it("needs no options where a client is there", async () => {
    index.createPresence({ ...OPTIONS, auto: false });
    render(<Tracker />);
    await settle();
    expect(sent).toEqual(["heartbeat /a"]);
  });

  it("does nothing where there is none", async () => {
    render(<Tracker />);
    await settle();
    expect(sent).toEqual([]);
  });
});

describe("usePresence", () => {
  const Count = (props: { path?: string; site?: string; api?: string }) => {
    const counts = hooks.usePresence(props);
    return <b>{counts.state == "live" ? `${counts.activeVisitors} ${counts.activeOnPath ?? ""}`.trim() : "–"}</b>;
  };

  it("gives the live numbers of the site and of a page, over one stream", async () => {
    index.createPresence(OPTIONS);
    const { container, unmount } = render(
      <StrictMode>
        <Count />
        <Count path="/a" />
      </StrictMode>,
    );
    expect(container.textContent).toBe("––");
    await settle();
    await snapshot(Source.all.at(-1)!, 3, 2);
    expect([...container.querySelectorAll("b")].map(({ textContent }) => textContent)).toEqual(["3", "3 2"]);
    expect(Source.all.filter(({ readyState }) => readyState == 1)).toHaveLength(1);
    unmount();
    await settle();
    expect(Source.all.filter(({ readyState }) => readyState == 1)).toHaveLength(0);
  });

  it("needs no client where it is told the site, and counts nobody", async () => {
    const { container, rerender } = render(<Count api={API} site="shop" />);
    await settle();
    expect(Source.all.at(-1)!.url).toBe(`${API}/v1/sites/shop/live`);
    await snapshot(Source.all.at(-1)!, 5, 1);
    expect(container.textContent).toBe("5");
    rerender(<Count api={API} site="news" />);
    expect(container.textContent).toBe("–");
    await settle();
    expect(Source.all.at(-1)!.url).toBe(`${API}/v1/sites/news/live`);
    expect(sent).toEqual([]);
  });

  it("works below the component that starts the client", async () => {
    const Page = () => {
      hooks.usePageTracking(OPTIONS);
      return <Count />;
    };
    const { container } = render(<Page />);
    await settle();
    await snapshot(Source.all.at(-1)!, 1, 1);
    expect(container.textContent).toBe("1");
  });
});
