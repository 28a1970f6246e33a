/** The npm package: what is in it, that it can be imported as others import it, and its options. */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const CLIENT = fileURLToPath(new URL("..", import.meta.url));
let folder: string;

const run = (command: string, args: string[], cwd: string) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "presence-client-"));
  run("npm", ["pack", "--pack-destination", folder], CLIENT); // prepack builds dist
  const [packed] = run("ls", [folder], folder).trim().split("\n");
  const installed = join(folder, "node_modules", "presence-client");
  mkdirSync(installed, { recursive: true });
  run("tar", ["-xzf", join(folder, packed!), "--strip-components=1", "-C", installed], folder);
  for (const name of ["react", "react-dom", "scheduler", "@types"]) {
    symlinkSync(join(CLIENT, "node_modules", name), join(folder, "node_modules", name));
  }
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true }));

it("has nothing in it but what is needed", () => {
  const files = run("find", ["node_modules/presence-client", "-type", "f"], folder).trim().split("\n");
  const others = files
    .map((file) => file.replace("node_modules/presence-client/", ""))
    .filter((file) => !/^dist\/[a-z_]+(\.d\.ts|\.js)$/.test(file));
  expect(others.sort()).toEqual(["README.md", "package.json"]);
});

it("can be imported where there is no page, as when a server renders it", () => {
  const program = `
    import { createPresence, currentPresence, refreshUser, watchPresence, watchUsers } from "presence-client";
    import { usePageTracking, usePresence } from "presence-client/react";
    import { FacePile } from "presence-client/react/face-pile";
    import "presence-client/faces-element";
    import { createElement } from "react";
    import { renderToString } from "react-dom/server";
    const presence = createPresence({ site: "blog", user: () => { throw new Error("asked"); } });
    watchUsers({ site: "blog", user: () => "" }, () => {})();
    await refreshUser();
    if (!renderToString(createElement(FacePile, { path: "/" })).startsWith("<ul")) throw new Error("no list");
    presence.heartbeat(); presence.leave(); presence.optOut(); presence.subscribe(() => {})();
    currentPresence().heartbeat();
    watchPresence({ site: "blog" }, () => {})();
    console.log(typeof usePageTracking, typeof usePresence);
  `;
  const said = run("node", ["--input-type=module", "--eval", program], folder);
  expect(said.trim()).toBe("function function");
});

it("says it when the site is missing, there too", () => {
  const program = `
    import { createPresence, watchPresence } from "presence-client";
    for (const run of [() => createPresence({}), () => createPresence({ site: "" }), () => watchPresence({}, () => {})])
      try { run(); } catch (error) { console.log(error instanceof TypeError, error.message); }
  `;
  const said = run("node", ["--input-type=module", "--eval", program], folder);
  expect(said).toBe("true presence-client: `site` is missing\n".repeat(3));
});

it("has types that a strict program compiles against", () => {
  writeFileSync(
    join(folder, "program.ts"),
    `
    import { createPresence } from "presence-client";
    import type { FetchUserToken, LiveCounts, LiveUsers, Presence, PresenceOptions, User } from "presence-client";
    import { usePageTracking, usePresence, useUsers } from "presence-client/react";
    import { FacePile, type FacePileProps } from "presence-client/react/face-pile";
    const user: FetchUserToken = async () => null;
    createPresence({ site: "blog", user });
    export const Names = (): readonly User[] => {
      const users: LiveUsers | undefined = useUsers({ path: "/" });
      return users?.users ?? [];
    };
    const props: FacePileProps = { path: "/", max: 4, user };
    FacePile(props);
    const options: PresenceOptions = { api: "https://a.example", site: "blog", exclude: ["/b*"] };
    const presence: Presence = createPresence(options);
    const stop: () => void = presence.subscribe(
      ({ activeVisitors, activeOnPath }) => activeVisitors + (activeOnPath ?? 0),
      { path: "/" },
    );
    stop();
    export const Here = (): number | undefined => {
      usePageTracking(options);
      usePageTracking();
      const counts: LiveCounts | undefined = usePresence({ path: "/" });
      return counts?.activeOnPath;
    };
    // @ts-expect-error: a site is needed
    createPresence({});
    `,
  );
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "es2022",
    lib: ["es2022", "dom"],
    types: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
  const tsc = join(CLIENT, "node_modules/.bin/tsc");
  const compiled = spawnSync(tsc, ["-p", "."], { cwd: folder, encoding: "utf8" });
  expect(compiled.stdout).toBe("");
  expect(compiled.status).toBe(0);
}, 60_000);
