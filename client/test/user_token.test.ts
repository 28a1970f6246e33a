/** When a token is asked for, kept and sent. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createTokenSource, expiryOf, identifyHeartbeats } from "../src/user_token.js";
import { UserServer, jwt } from "./user_server.js";

const START = Date.UTC(2026, 0, 1);
const inSeconds = (seconds: number) => jwt((Date.now() + 1000 * seconds) / 1000);

describe("a token", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: START });
    vi.spyOn(Math, "random").mockReturnValue(0);
  });
  afterEach(() => vi.useRealTimers());

  it.each([
    [jwt(1_700_000_000, { name: "Zoë Ünal", avatar: "https://a.example/?>>" }), 1_700_000_000_000],
    [jwt(0), Infinity],
    ["opaque", Infinity],
    ["a.b.c", Infinity],
  ])("says when it expires: %#", (token, expiry) => expect(expiryOf(token)).toBe(expiry));

  it("is asked for once, whoever needs it, and not again while it works", async () => {
    const ask = vi.fn(async () => inSeconds(3600));
    const tokens = createTokenSource(ask);
    const [one, two] = await Promise.all([tokens.get(), tokens.get()]);
    expect(one).toBe(two);
    await vi.advanceTimersByTimeAsync(3_000_000);
    expect(await tokens.get()).toBe(one);
    expect(ask).toHaveBeenCalledTimes(1);
  });

  it("is renewed before it expires, and nobody waits for that", async () => {
    const ask = vi.fn(() => inSeconds(3600));
    const tokens = createTokenSource(ask);
    const first = await tokens.get();
    await vi.advanceTimersByTimeAsync(3_500_000);
    expect(await tokens.get()).toBe(first);
    await vi.advanceTimersByTimeAsync(1);
    expect(await tokens.get()).not.toBe(first);
    expect(ask).toHaveBeenCalledTimes(2);
  });

  it.each([
    ["throws", () => { throw new Error("down"); }],
    ["rejects", () => Promise.reject(new Error("down"))],
    ["hangs", () => new Promise<string>(() => {})],
  ])("that cannot be renewed is kept: it %s", async (_, fail) => {
    let isDown = false;
    const ask = vi.fn((): string | Promise<string> => (isDown ? fail() : inSeconds(600)));
    const tokens = createTokenSource(ask);
    const first = await tokens.get();
    isDown = true;
    for (let passed = 0; passed < 600; passed += 10) {
      await vi.advanceTimersByTimeAsync(10_000);
      expect(await tokens.get()).toBe(first);
    }
    expect(ask.mock.calls.length).toBeLessThan(8);
    isDown = false;
    await vi.advanceTimersByTimeAsync(600_000);
    await tokens.get();
    await vi.advanceTimersByTimeAsync(1);
    expect(await tokens.get()).not.toBe(first);
  });

  it("that never comes delays a heartbeat by 3 s at most", async () => {
    const tokens = createTokenSource(() => new Promise(() => {}));
    const got = vi.fn();
    void tokens.get().then(got);
    await vi.advanceTimersByTimeAsync(2_999);
    expect(got).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(got).toHaveBeenCalledWith(undefined);
  });

  it("that is refused again and again is not asked for in a loop", async () => {
    let made = 0;
    const ask = vi.fn(() => `bad${made++}`);
    const tokens = createTokenSource(ask);
    for (let passed = 0; passed < 3_600; passed++) {
      const token = await tokens.get();
      if (token) tokens.refuse(token);
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(ask.mock.calls.length).toBeLessThan(16);
  });

  it("is nobody's where nobody is signed in, and asked for less and less often", async () => {
    const ask = vi.fn(() => null);
    const tokens = createTokenSource(ask);
    for (let passed = 0; passed < 3_600; passed += 30) {
      expect(await tokens.get()).toBeUndefined();
      await vi.advanceTimersByTimeAsync(30_000);
    }
    expect(ask.mock.calls.length).toBeLessThan(14);
  });

  it("of the previous user is dropped, also if it comes late", async () => {
    const answers: ((token: string) => void)[] = [];
    const tokens = createTokenSource(() => new Promise((resolve) => answers.push(resolve)));
    const first = tokens.get();
    await vi.advanceTimersByTimeAsync(1);
    tokens.forget();
    const second = tokens.get();
    await vi.advanceTimersByTimeAsync(1);
    answers[0]!("anna");
    expect(await first).toBeUndefined();
    answers[1]!("bo");
    expect(await second).toBe("bo");
    expect(await tokens.get()).toBe("bo");
  });
});

describe("a heartbeat", () => {
  let server: UserServer;
  const beat = (tokens: ReturnType<typeof createTokenSource>) =>
    identifyHeartbeats(tokens)(`${server.url}/v1/sites/blog/heartbeat`, {
      method: "POST",
      body: JSON.stringify({ sessionId: "s".repeat(16), currentPath: "/a" }),
    });
  const sent = () => server.beats.map(({ userToken }) => userToken);

  beforeEach(async () => void (server = await new UserServer().start()));
  afterEach(() => server.stop());

  it("has the token in its body", async () => {
    await beat(createTokenSource(() => "good"));
    expect(server.beats).toEqual([{ sessionId: "s".repeat(16), currentPath: "/a", userToken: "good" }]);
  });

  it("has none where there is none", async () => {
    await beat(createTokenSource(() => null));
    expect(server.beats).toEqual([{ sessionId: "s".repeat(16), currentPath: "/a" }]);
  });

  it("is sent again at once, with a new token, where the old one has expired", async () => {
    let made = 0;
    const tokens = createTokenSource(() => `token${made++}`);
    server.verdict = (token) => (token == "token0" ? "expired" : "ok");
    expect((await beat(tokens)).headers.get("Presence-User")).toBe("ok");
    await beat(tokens);
    expect(sent()).toEqual(["token0", "token1", "token1"]);
  });

  it("tries twice at most, and then goes on without", async () => {
    server.verdict = () => "invalid";
    const ask = vi.fn(() => "bad");
    const tokens = createTokenSource(ask);
    for (let n = 0; n < 5; n++) expect((await beat(tokens)).status).toBe(204);
    expect(sent()).toEqual(["bad", "bad", undefined, undefined, undefined, undefined]);
    expect(ask).toHaveBeenCalledTimes(2);
  });
});
