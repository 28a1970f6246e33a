/** Where visitors come from: what presence-source.js and the option `source` say of it, and when. */

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Browser, INTERVAL_MS, SITE, SOURCE_SCRIPTS, pass } from "./fake_browser.js";

const built = (name: string) => readFileSync(new URL(`../../service/web/static/${name}`, import.meta.url), "utf8");

/** Address, referrer and `data-source`, and what is said. */
const VISITS: [path: string, referrer: string, name: string | undefined, said: object][] = [
  ["/", "", undefined, { source: "" }],
  ["/?utm_source=News&utm_medium=email&utm_campaign=Spring+Sale", "https://mail.example/", undefined, { source: "News", medium: "email", campaign: "Spring Sale" }],
  ["/?utm_medium=cpc", "https://www.search.example/find?q=secret", undefined, { source: "www.search.example", medium: "cpc" }],
  ["/?ref=partner", "https://a.example/", undefined, { source: "partner" }],
  ["/?ref=partner&utm_source=news", "", undefined, { source: "news" }],
  ["/?utm_source=", "https://a.example/x", undefined, { source: "a.example" }],
  ["/", `${SITE}/before`, undefined, { source: "" }],
  ["/", "android-app://com.example.app/", undefined, { source: "com.example.app" }],
  ["/?utm_source=news", "https://a.example/", "kiosk", { source: "kiosk" }],
];

describe.each(Object.entries(SOURCE_SCRIPTS))("presence-source.js, %s", (_, script) => {
  let browser: Browser;

  beforeEach(() => {
    vi.useFakeTimers({ now: 0, toFake: ["setTimeout", "clearTimeout", "Date"] });
    vi.spyOn(Math, "random").mockReturnValue(0);
    browser = new Browser(script);
  });

  afterEach(() => {
    expect([...browser.unhandled, ...browser.logged]).toEqual([]);
    vi.useRealTimers();
  });

  const said = () => browser.sent.map(({ body: { sessionId, currentPath, ...more } }) => more);

  it.each(VISITS)("on %s from %j, named %j", async (path, referrer, source, expected) => {
    browser.open(path, { source }, { referrer });
    await pass();
    expect(said()).toEqual([expected]);
    expect(browser.sent[0]!.init).toMatchObject({ method: "POST", credentials: "omit", referrer: "", keepalive: 1 });
  });

  it("is said once, until the service may have forgotten the session", async () => {
    const tab = browser.open("/?ref=news");
    await pass();
    tab.push("/b");
    await pass(3 * INTERVAL_MS);
    expect(said().map(({ source }) => source)).toEqual(["news", ...Array(said().length - 1).fill(undefined)]);
    expect(said().length).toBeGreaterThan(3);
    const before = said().length;
    tab.hide();
    await pass(INTERVAL_MS);
    tab.show();
    await pass();
    tab.hide();
    await pass(2 * INTERVAL_MS + 1);
    tab.show();
    await pass();
    expect(said().slice(before)).toEqual([{}, { source: "news" }]);
  });

  it("is said again after a failure, and not in a goodbye", async () => {
    browser.answer = { status: 503 };
    const tab = browser.open("/?ref=news");
    await pass(INTERVAL_MS); // the next one is after two
    browser.answer = {};
    await pass(INTERVAL_MS * 4);
    expect(said().filter(({ source }) => source)).toHaveLength(2);
    tab.leave();
    expect(browser.said.at(-1)).toBe("leave");
    expect(said().at(-1)).toEqual({});
  });

  it("is not said by who is not counted", async () => {
    browser.storage = { presenceId: "" };
    browser.open("/?ref=news");
    await pass(INTERVAL_MS * 2);
    expect(browser.sent).toEqual([]);
  });
});

it("presence.js has not a byte of it", () => {
  expect(built("presence.js")).not.toMatch(/utm|ref\b|document\.referrer/);
});
