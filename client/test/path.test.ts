/** One page, one name: what tests/paths.json says of the service holds for the client, too. */

import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import type { Attributes, LazyModule } from "../src/types.js";

const SPELLINGS: [string, string][] = JSON.parse(
  readFileSync(new URL("../../tests/paths.json", import.meta.url), "utf8"),
);

describe.each([
  ["source", () => import("../src/lazy.js")],
  ["built", () => import("../../service/web/static/presence-live.js" as string)],
])("the path, %s", (_, load) => {
  const reported = async (pathname: string, attributes: Attributes = { allowLocalhost: "" }) => {
    vi.stubGlobal("location", { hostname: "example.org", pathname });
    const { path } = (await load()) as LazyModule;
    return path({ site: "blog", ...attributes })();
  };

  it.each(SPELLINGS)("of %s is %s", async (given, kept) => {
    expect(await reported(given)).toBe(kept);
    expect(await reported(kept)).toBe(kept);
  });

  it.each([
    ["/caf%C3%A9", "/café"],
    ["/caf%C3%A9", "/caf%c3%a9/"],
    ["/caf%C3%A9", "/cafe\u0301"],
    ["/caf%C3%A9/menu", "/café*"],
    ["/caf%C3%A9/menu", "/caf%C3%A9/*"],
    ["/caf%C3%A9", "/café/*"],
    ["/%ff/a", "/%FF*"],
    ["/%7Eadmin/a", "/~admin*"],
    ["/a%2fb", "/a%2Fb"],
    ["/cart//", "/cart"],
    ["/cart", "/cart//"],
    ["/admin", "/admin/*"],
    ["/anything", "*"],
    ["/b", "/a, /b /c"],
  ])("%s is excluded by %s", async (pathname, exclude) => {
    expect(await reported(pathname, { exclude, allowLocalhost: "" })).toBe(false);
  });

  it.each([
    ["/caf%C3%A9s", "/café"],
    ["/caf%C3%A9s", "/café/*"],
    ["/a/b", "/a%2Fb"],
    ["/administration", "/admin/*"],
    ["/a%2A", "/b"],
  ])("%s is not excluded by %s", async (pathname, exclude) => {
    expect(await reported(pathname, { exclude, allowLocalhost: "" })).not.toBe(false);
  });
});
