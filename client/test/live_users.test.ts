// @vitest-environment jsdom
// @vitest-environment-options {"url": "http://127.0.0.1/docs/x"}

/** Live users over a real stream, and the component and the element that show them. */

import { act, cleanup, fireEvent, render } from "@testing-library/react";
import axe from "axe-core";
import { createElement } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FacePile } from "../src/face_pile.js";
import { agoOf, initialsOf } from "../src/faces.js";
import { watchLiveUsers, type LiveUsers, type User } from "../src/live_users.js";
import { useUsers, type Live } from "../src/react.js";
import { readEvents } from "../src/sse.js";
import { createTokenSource } from "../src/user_token.js";
import { UserServer, user } from "./user_server.js";

let server: UserServer;
let isHidden = false;
const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), 4_000);

beforeEach(async () => {
  server = await new UserServer().start();
  isHidden = false;
  vi.spyOn(document, "hidden", "get").mockImplementation(() => isHidden);
  document.body.innerHTML = "";
});
afterEach(async () => {
  cleanup();
  document.body.innerHTML = "";
  await server.stop();
});

describe("the reader of events", () => {
  const read = async (parts: (string | Uint8Array)[]) => {
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const part of parts) controller.enqueue(typeof part == "string" ? encoder.encode(part) : part);
        controller.close();
      },
    });
    const events = [];
    for await (const { name, data } of readEvents(body, () => {})) events.push([name, data]);
    return events;
  };

  it.each([
    ["lines of all kinds", ["event: a\rdata: 1\r\rdata:2\r\n\r\nevent:b\ndata: 3\n\n"], [["a", "1"], ["message", "2"], ["b", "3"]]],
    ["a line end in two parts", ["event: a\r", "\ndata: 1\r", "\n\r", "\n"], [["a", "1"]]],
    ["several lines of data", ["data: 1\ndata:\ndata:  2\n\n"], [["message", "1\n\n 2"]]],
    ["comments, ids and a retry", [":\n\nretry: 5\nid: 3\n\ndata: 1\n\n"], [["message", "1"]]],
    ["an event that is cut off", ["data: 1\n\ndata: 2\n"], [["message", "1"]]],
    ["an event without data", ["event: a\n\ndata: 1\n\n"], [["message", "1"]]],
  ])("reads %s", async (_, parts, events) => expect(await read(parts)).toEqual(events));

  it("reads letters that are cut anywhere", async () => {
    const bytes = new TextEncoder().encode("data: Zoë 🙂\n\n");
    const letters = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(await read(letters)).toEqual([["message", "Zoë 🙂"]]);
  });

  it("does not keep a line without an end", async () => {
    await expect(read(Array.from({ length: 5 }, () => "x".repeat(1_000_000)))).rejects.toThrow("too long");
  });
});

describe("live users", () => {
  let told: LiveUsers[];
  const watch = (path?: string, tokens = createTokenSource(() => "good")) =>
    watchLiveUsers(`${server.url}/v1/sites/blog/`, tokens, (users) => told.push(users), path);
  const ids = () => told.at(-1)?.users.map(({ userId }) => userId).join();

  beforeEach(() => void (told = []));

  it("come, move and go, each once", async () => {
    const stop = watch();
    await until(() => server.open.length);
    server.snapshot([user("bo", { since: 20 }), user("anna", { since: 10 })], 2);
    await until(() => ids() == "anna,bo");
    server.say("online", { ...user("cy"), asOf: 5, totalUsers: 3 });
    server.say("online", { ...user("cy"), asOf: 5, totalUsers: 3 });
    server.say("change", { activeVisitors: 3, asOf: 5, totalUsers: 3 });
    server.say("moved", { ...user("bo", { since: 20, paths: ["/b"] }), asOf: 6, totalUsers: 3 });
    server.say("offline", { userId: "anna", lastSeen: 6, asOf: 7, totalUsers: 2 });
    await until(() => ids() == "bo,cy");
    expect(told.at(-1)).toEqual({
      users: [user("bo", { since: 20, paths: ["/b"] }), user("cy")],
      total: 2,
      asOf: 7,
      isConnected: true,
    });
    stop();
    stop();
    await until(() => server.open.length == 0);
  });

  it("are as many as is said when somebody has gone who was never named", async () => {
    const stop = watch();
    await until(() => server.open.length);
    server.snapshot([user("anna")], 300);
    await until(() => told.at(-1)?.total == 300);
    server.say("change", { asOf: 5, totalUsers: 300 });
    server.say("change", { asOf: 6, totalUsers: 299 });
    await until(() => told.at(-1)?.total == 299);
    expect(told.map(({ total }) => total)).toEqual([300, 299]);
    expect(told.at(-1)).toEqual({ users: [user("anna")], total: 299, asOf: 6, isConnected: true });
    stop();
  });

  it("are told who comes, though the total of a change was told before", async () => {
    const later = Date.now() + 31_000; // since the snapshot
    const stop = watch();
    await until(() => server.open.length);
    server.snapshot([user("anna", { since: 10 })]);
    await until(() => ids() == "anna");
    vi.spyOn(Date, "now").mockReturnValue(later);
    server.say("change", { asOf: 5, totalUsers: 2 });
    server.say("online", { ...user("bo", { since: 20 }), asOf: 5, totalUsers: 2 });
    await until(() => ids() == "anna,bo");
    expect(told.map(({ total }) => total)).toEqual([1, 2]);
    expect(server.asked).toHaveLength(1);
    stop();
  });

  it("are asked for with the token in a header, and never in the address", async () => {
    const stop = watch("/docs/ä b");
    await until(() => server.asked.length);
    expect(server.asked[0]).toMatchObject({
      url: "/v1/sites/blog/live?users=1&path=%2Fdocs%2F%C3%A4%20b",
      authorization: "Bearer good",
    });
    stop();
  });

  it("share one stream for one page", async () => {
    const tokens = createTokenSource(() => "good");
    const stops = [watch("/a", tokens), watch("/a", tokens), watch("/b", tokens)];
    await until(() => server.open.length == 2);
    stops[0]!();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.open).toHaveLength(2);
    stops[1]!();
    await until(() => server.open.length == 1);
    stops[2]!();
  });

  it("are asked for again after the connection broke, and the list is kept meanwhile", async () => {
    const stop = watch();
    await until(() => server.open.length);
    server.snapshot([user("anna")]);
    await until(() => ids() == "anna");
    server.open[0]!.destroy();
    await until(() => told.at(-1)!.isConnected == false);
    expect(ids()).toBe("anna");
    await until(() => server.open.length);
    server.snapshot([user("bo")]);
    await until(() => ids() == "bo");
    expect(told.at(-1)!.isConnected).toBe(true);
    stop();
  });

  it("are not read by a hidden tab", async () => {
    const stop = watch();
    await until(() => server.open.length);
    isHidden = true;
    dispatchEvent(new Event("visibilitychange"));
    await until(() => server.open.length == 0);
    isHidden = false;
    dispatchEvent(new Event("visibilitychange"));
    await until(() => server.open.length == 1);
    stop();
  });

  it("ask for another token where it is refused", async () => {
    let made = 0;
    server.status = (token) => (token == "token0" ? 401 : 200);
    const stop = watch(undefined, createTokenSource(() => `token${made++}`));
    await until(() => server.open.length);
    expect(server.asked.map(({ authorization }) => authorization)).toEqual(["Bearer token0", "Bearer token1"]);
    stop();
  });

  it("do not press a service that answers with an error", async () => {
    const statuses = ["401", "403", "404", "500"];
    server.status = Number;
    const stops = statuses.map((status) => watch(undefined, createTokenSource(() => status)));
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const asked = server.asked.map(({ authorization }) => authorization);
    for (const status of statuses) {
      const times = asked.filter((token) => token == `Bearer ${status}`).length;
      expect([1, 2], status).toContain(times);
    }
    stops.forEach((stop) => stop());
  });

  it("ask the service nothing without a token", async () => {
    const stop = watch(undefined, createTokenSource(() => null));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(server.asked).toEqual([]);
    stop();
  });
});

describe("a face", () => {
  it.each([
    ["Anna Maria Ek", "AE"],
    ["zoë", "Z"],
    ["  ", "U7"],
    [null, "U7"],
    ["🙂 b", "🙂B"],
  ])("of %o has the initials %s", (name, initials) =>
    expect(initialsOf({ name, userId: "user:7" })).toBe(initials));

  it.each([
    [-5, "just now"],
    [NaN, "just now"],
    [59_999, "just now"],
    [120_000, "2 min ago"],
    [3 * 3_600_000, "3 h ago"],
    [50 * 3_600_000, "2 d ago"],
  ])("says of %i ms: %s", (ms, text) => expect(agoOf(ms)).toBe(text));
});

/** Both show the same: what is asked of the component is asked of the element. */
const FORMS = {
  async component(more: { max?: number } = {}) {
    const props = { api: server.url, site: "blog", path: "/docs/x", user: () => "good", ...more };
    const { container, unmount } = render(createElement(FacePile, props));
    await act(() => until(() => server.open.length));
    return { root: container.querySelector("ul")!, remove: unmount };
  },
  async source(more: { max?: number } = {}) {
    await import("../src/faces_element.js");
    return element(more);
  },
};

const element = async ({ max }: { max?: number }) => {
  const faces = document.createElement("presence-faces");
  const attributes = { site: "blog", server: server.url, path: "/docs/x", ...(max && { max }) };
  for (const [name, value] of Object.entries(attributes)) faces.setAttribute(name, `${value}`);
  Object.assign(faces, { user: () => "good" });
  document.body.append(faces);
  await until(() => server.open.length);
  return { root: faces.shadowRoot!.querySelector("ul")!, remove: () => faces.remove() };
};

describe.each(Object.entries(FORMS))("faces, the %s", (_, show) => {
  const shown = async (root: Element, users: object[], total?: number) => {
    await act(async () => {
      server.snapshot(users, total);
      await until(() => root.children.length);
    });
    return [...root.children] as HTMLElement[];
  };

  it("are a list with names, initials and how long they have been here", async () => {
    const { root, remove } = await show();
    const [anna, bo] = await shown(root, [user("anna", { name: "Anna Ek" }), user("bo", { name: null })]);
    expect(root.getAttribute("aria-label")).toBe("2 people here now");
    expect(root.getAttribute("role")).toBe("list");
    expect(anna!.tagName).toBe("LI");
    expect(anna!.textContent).toBe("AE");
    expect(anna!.title).toBe("Anna Ek, 2 min ago");
    expect(anna!.querySelector("[role=img]")!.getAttribute("aria-label")).toBe("Anna Ek, 2 min ago");
    expect(bo!.title).toBe("bo, 2 min ago");
    expect([anna!.style.width, anna!.style.height]).toEqual(["32px", "32px"]);
    remove();
    await until(() => server.open.length == 0);
  });

  it("say how many more there are", async () => {
    const { root, remove } = await show({ max: 3 });
    const items = await shown(root, ["a", "b", "c", "d"].map((id) => user(id)), 14);
    expect(items.map(({ title }) => title)).toEqual(["Name a, 2 min ago", "Name b, 2 min ago", "12 more"]);
    expect(items[2]!.textContent).toBe("+12");
    remove();
  });

  it("are pictures, and initials where one fails", async () => {
    const { root, remove } = await show();
    const [anna, bo] = await shown(root, [
      user("anna", { avatar: "https://a.example/anna.png" }),
      user("bo", { avatar: "javascript:alert(1)" }),
    ]);
    expect(bo!.querySelector("img")).toBeNull();
    const image = anna!.querySelector("img")!;
    expect(image.src).toBe("https://a.example/anna.png");
    expect([image.alt, image.style.position]).toEqual(["", "absolute"]);
    fireEvent.error(image);
    expect(anna!.querySelector("img")).toBeNull();
    expect(anna!.textContent).toBe("NA");
    remove();
  });

  it("never take a name for markup", async () => {
    const { root, remove } = await show();
    const [anna] = await shown(root, [user("anna", { name: "<img src=x onerror=alert(1)>" })]);
    expect(anna!.querySelector("img")).toBeNull();
    remove();
  });

  it("say their names to a keyboard, and keep the focus when somebody comes", async () => {
    const { root, remove } = await show();
    const [anna] = await shown(root, [user("anna", { since: 999_999 })]);
    expect(anna!.tabIndex).toBe(0);
    act(() => anna!.focus());
    expect(anna!.lastElementChild!.textContent).toBe("Name anna, 2 min ago");
    await act(async () => {
      server.say("online", { ...user("bo"), asOf: 1_120_000, totalUsers: 2 });
      await until(() => root.children.length == 2);
    });
    expect((anna!.getRootNode() as Document | ShadowRoot).activeElement).toBe(anna);
    act(() => anna!.blur());
    expect(anna!.textContent).toBe("NA");
    remove();
  });

  it("break no rule of axe", async () => {
    const { root, remove } = await show({ max: 2 });
    await shown(root, ["a", "b", "c"].map((id) => user(id)));
    const { violations } = await axe.run(document.body, {
      rules: { region: { enabled: false }, "color-contrast": { enabled: false } },
    });
    expect(violations.map(({ id }) => id)).toEqual([]);
    remove();
  });
});

describe("useUsers", () => {
  it("begins when somebody signs in", async () => {
    let latest: Live<LiveUsers> | undefined;
    const Names = ({ isSignedIn }: { isSignedIn: boolean }) => {
      latest = useUsers({ api: server.url, site: "later", user: isSignedIn ? () => "good" : undefined });
      return null;
    };
    const { rerender, unmount } = render(createElement(Names, { isSignedIn: false }));
    expect(latest).toEqual({ state: "connecting" });
    rerender(createElement(Names, { isSignedIn: true }));
    await until(() => server.open.length);
    await act(async () => {
      server.snapshot([user("anna")]);
      await until(() => latest?.state == "live");
    });
    rerender(createElement(Names, { isSignedIn: true })); // another function, and no other stream
    expect(server.asked).toHaveLength(1);
    unmount();
  });

  it("gives the users of a page, and of another one when the path changes", async () => {
    let latest: Live<LiveUsers> | undefined;
    const Names = ({ path }: { path: string }) => {
      latest = useUsers({ api: server.url, site: "shop", path, user: () => "good" });
      return null;
    };
    const { rerender, unmount } = render(createElement(Names, { path: "/a" }));
    expect(latest).toEqual({ state: "connecting" });
    await until(() => server.open.length);
    await act(async () => {
      server.snapshot([user("anna")], 4);
      await until(() => latest?.state == "live");
    });
    expect(latest!.total).toBe(4);
    expect(latest!.users?.map(({ userId }: User) => userId)).toEqual(["anna"]);
    rerender(createElement(Names, { path: "/b" }));
    expect(latest).toEqual({ state: "connecting" });
    await until(() => server.asked.at(-1)!.url.endsWith("path=%2Fb") && server.open.length == 1);
    unmount();
    await until(() => server.open.length == 0);
  });
});
