/** The npm package: what is in it, that it can be imported as others import it, and its options. */

import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, it } from "vitest";

const CLIENT = fileURLToPath(new URL("..", import.meta.url));
const PEERS = ["react", "react-dom", "scheduler", "@types", "vue", "@vue", "csstype", "svelte"];
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
  for (const name of PEERS) {
    symlinkSync(join(CLIENT, "node_modules", name), join(folder, "node_modules", name));
  }
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true }));

it("has in it what is needed, and nothing else", () => {
  const files = run("find", ["node_modules/presence-client", "-type", "f"], folder).trim().split("\n");
  const modules = readdirSync(join(CLIENT, "src"))
    .map((file) => basename(file, ".ts"))
    .filter((name) => !["globals.d", "script_tag", "source_tag"].includes(name));
  const scripts = ["presence", "presence-faces", "presence-live", "presence-source"];
  expect(files.map((file) => file.replace("node_modules/presence-client/", "")).sort()).toEqual(
    [
      ...["LICENSE", "README.md", "package.json"],
      ...modules.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]),
      ...scripts.map((name) => `dist/script/${name}.js`),
    ].sort(),
  );
});

it("says whose it is, where it runs, and what it can do without", () => {
  const read = (file: string) => readFileSync(join(folder, "node_modules/presence-client", file), "utf8");
  const { license, engines, peerDependencies, peerDependenciesMeta, dependencies, ...rest } = JSON.parse(
    read("package.json"),
  );
  expect(license).toBe("MIT");
  expect(read("LICENSE")).toBe(readFileSync(join(CLIENT, "../LICENSE"), "utf8"));
  expect(engines.node).toBeDefined();
  expect(rest.private).toBeUndefined();
  expect(dependencies).toBeUndefined();
  for (const peer of Object.keys(peerDependencies)) expect(peerDependenciesMeta[peer].optional).toBe(true);
});

it("has types and code of each entry, and a script tag that is the service's", () => {
  const installed = join(folder, "node_modules/presence-client");
  const { exports } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  const entries = Object.entries<Record<string, string>>(exports).filter(([, entry]) => entry.types);
  expect(entries.map(([name]) => name)).toEqual(
    [".", "./react", "./react/face-pile", "./vue", "./svelte", "./faces-element"],
  );
  for (const [, entry] of entries) {
    expect(Object.keys(entry)).toEqual(["types", "default"]); // types first, or they are not found
    for (const file of Object.values(entry)) expect(existsSync(join(installed, file))).toBe(true);
  }
  for (const name of readdirSync(join(installed, "dist/script"))) {
    const served = readFileSync(join(CLIENT, "../service/web/static", name));
    expect(readFileSync(join(installed, "dist/script", name)).equals(served)).toBe(true);
  }
});

it.each([
  ['import "presence-client"', [], ["EventSource", "localStorage", "/heartbeat"]],
  ['import { watchPresence as a } from "presence-client"; a()', ["/v1/sites/"], ["localStorage", "/heartbeat"]],
  ['import { usePresence as a } from "presence-client/react"; a()', ["staleSince"], ["Fragment", "initials"]],
  ['import { presence as a } from "presence-client/svelte"; a()', ["staleSince"], ["createElement"]],
  ['import { usePresence as a } from "presence-client/vue"; a()', ["staleSince"], ["react", "svelte"]],
  ['import "presence-client/faces-element"', ["customElements"], ["react"]],
])("is loaded in parts by a bundler: %s", async (contents, has, lacks) => {
  const bundled = await build({
    stdin: { contents, resolveDir: folder },
    bundle: true,
    splitting: true,
    write: false,
    format: "esm",
    outdir: "out",
    logLevel: "error",
    external: ["react", "vue", "svelte"],
  });
  const atOnce = bundled.outputFiles.find(({ path }) => path.endsWith("stdin.js"))!.text;
  for (const part of has) expect(atOnce).toContain(part);
  for (const part of lacks) expect(atOnce).not.toContain(part);
});

it("can be imported where there is no page, as when a server renders it", () => {
  const program = `
    import { createPresence, currentPresence, refreshUser, watchPresence, watchUsers } from "presence-client";
    import { usePageTracking, usePresence } from "presence-client/react";
    import { FacePile } from "presence-client/react/face-pile";
    import "presence-client/faces-element";
    import * as svelte from "presence-client/svelte";
    import * as vue from "presence-client/vue";
    import { createElement } from "react";
    import { renderToString } from "react-dom/server";
    import { get } from "svelte/store";
    import { createSSRApp, h } from "vue";
    import { renderToString as renderVue } from "vue/server-renderer";
    const presence = createPresence({ site: "blog", user: () => { throw new Error("asked"); } });
    watchUsers({ site: "blog", user: () => "" }, () => {})();
    await refreshUser();
    if (!renderToString(createElement(FacePile, { path: "/" })).startsWith("<ul")) throw new Error("no list");
    const Here = () => createElement("b", null, usePageTracking({ site: "blog" }), usePresence().state);
    const page = createSSRApp({ setup() {
      vue.usePageTracking({ site: "blog" });
      const [here, users] = [vue.usePresence({ site: "blog", path: "/" }), vue.useUsers()];
      return () => h("b", [here.value.state, users.value.state]);
    } });
    svelte.trackPage({ site: "blog" })();
    console.log(
      renderToString(createElement(Here)),
      await renderVue(page),
      get(svelte.presence({ site: "blog" })).state,
      get(svelte.users()).state,
    );
    presence.heartbeat(); presence.leave(); presence.optOut(); presence.subscribe(() => {})();
    currentPresence().heartbeat();
    watchPresence({ site: "blog" }, () => {})();
    console.log(typeof usePageTracking, typeof usePresence);
  `;
  const said = run("node", ["--input-type=module", "--eval", program], folder);
  expect(said.trim().split("\n")).toEqual([
    "<b>connecting</b> <b>connectingconnecting</b> connecting connecting",
    "function function",
  ]);
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
    import { presence as presenceStore } from "presence-client/svelte";
    import { usePresence as usePresenceInVue } from "presence-client/vue";
    import type { Readable } from "svelte/store";
    import { ref } from "vue";
    import type { FetchUserToken, Live, LiveCounts, LiveUsers, Presence, PresenceOptions, User } from "presence-client";
    import { usePageTracking, usePresence, useUsers } from "presence-client/react";
    import { FacePile, type FacePileProps } from "presence-client/react/face-pile";
    const user: FetchUserToken = async () => null;
    createPresence({ site: "blog", user });
    export const Names = (): readonly User[] => {
      const users: Live<LiveUsers> = useUsers({ path: "/" });
      return users.users ?? [];
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
      const counts: Live<LiveCounts> = usePresence({ path: "/" });
      if (counts.state == "stale") new Date(counts.staleSince);
      // @ts-expect-error: there may be no number yet
      const always: number = counts.activeVisitors;
      return counts.state == "live" ? counts.activeVisitors : always;
    };
    const where = ref("/");
    usePresenceInVue(() => ({ path: where.value })).value.activeOnPath?.toFixed();
    const store: Readable<Live<LiveCounts>> = presenceStore({ site: "blog", path: undefined });
    store.subscribe(({ state }) => state)();
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
