// @vitest-environment jsdom
// @vitest-environment-options {"url": "http://127.0.0.1/docs/x?a=1"}

/** The built files for pages without a bundler: the element, and the client as one module. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type * as Client from "../src/index.js";
import { UserServer, user } from "./user_server.js";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), 4_000);
let server: UserServer;

beforeEach(async () => {
  server = await new UserServer().start();
  vi.spyOn(document, "hidden", "get").mockReturnValue(false);
  await import("../../service/web/static/presence-faces.js" as string);
});
afterEach(async () => {
  document.body.innerHTML = "";
  await server.stop();
});

describe("presence-faces.js", () => {
  it("needs a function by name, takes the site of the script tag and the page's own path", async () => {
    vi.stubGlobal("fetchToken", () => "good");
    document.body.innerHTML = `<script type="text/plain" data-site="blog"></script>
      <presence-faces server="${server.url}/below/" user="fetchToken"></presence-faces>`;
    await until(() => server.open.length);
    expect(server.asked[0]).toMatchObject({
      url: "/below/v1/sites/blog/live?users=1&path=%2Fdocs%2Fx",
      authorization: "Bearer good",
    });
    server.snapshot([user("anna")]);
    const list = document.querySelector("presence-faces")!.shadowRoot!.querySelector("ul")!;
    await until(() => list.children.length == 1);
    expect(list.textContent).toBe("NA");
  });

  it("watches another page when its path changes, and waits for its function", async () => {
    document.body.innerHTML = `<presence-faces site="blog" server="${server.url}" path="/a"></presence-faces>`;
    const faces = document.querySelector("presence-faces")!;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.asked).toEqual([]);
    Object.assign(faces, { user: async () => "good" });
    await until(() => server.open.length);
    faces.setAttribute("path", "/b");
    await until(() => server.asked.length == 2 && server.open.length == 1);
    expect(server.asked[1]!.url).toMatch(/path=%2Fb$/);
  });

  it("keeps a function that was set before it was defined", async () => {
    const faces = document.createElement("presence-faces");
    Object.defineProperty(faces, "user", { value: () => "good", configurable: true, writable: true });
    faces.setAttribute("site", "blog");
    faces.setAttribute("server", server.url);
    document.body.append(faces);
    await until(() => server.open.length);
    expect(server.asked[0]!.authorization).toBe("Bearer good");
  });

  it("says once that the site is missing", async () => {
    const warned = vi.spyOn(console, "warn").mockReturnValue();
    document.body.innerHTML = `<presence-faces user="fetchToken"></presence-faces>`;
    await until(() => warned.mock.calls.length == 1);
  });
});

describe.each([
  ["source", () => import("../src/index.js")],
  ["built", () => import("../../service/web/static/presence-client.js" as string)],
])("createPresence with a user, %s", (_, load) => {
  it("says who is there, renews what is refused, and shows others with the same token", async () => {
    Object.defineProperty(navigator, "locks", {
      configurable: true,
      value: { request: async (_name: string, _options: unknown, call: (lock: unknown) => unknown) => call({}) },
    });
    let made = 0;
    const ask = vi.fn(async () => `token${made++}`);
    server.verdict = (token) => (token == "token0" ? "expired" : "ok");
    vi.stubGlobal("AbortSignal", { timeout: () => undefined }); // jsdom's is not the one of Node's fetch
    const { createPresence, watchUsers, refreshUser } = (await load()) as typeof Client;
    const presence = createPresence({ api: server.url, site: "blog", allowLocalhost: true, user: ask });
    const told = vi.fn();
    const stop = watchUsers({ path: "/docs/x" }, told);
    await until(() => server.beats.length == 2 && server.open.length == 1);
    expect(server.beats.map(({ userToken }) => userToken)).toEqual(["token0", "token1"]);
    server.snapshot([user("anna")]);
    await until(() => told.mock.calls.length);
    stop();
    await refreshUser();
    history.pushState(null, "", "/docs/y");
    presence.heartbeat();
    await until(() => server.beats.length > 2);
    expect(server.beats.at(-1)!.userToken).toBe("token2");
    presence.leave();
    history.replaceState(null, "", "/docs/x?a=1");
  });
});
