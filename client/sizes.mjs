/**
 * The tables of sizes in README.md: `node sizes.mjs` writes them, `--check` exits 1 if they are not what
 * is built. gzip differs by a few bytes between versions of zlib, so 0.1 kB more or less is the same.
 */

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { FILES } from "./build.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const README = here("README.md");

/** When a page loads each file of the service. */
const LOADED = {
  "presence.js": "always",
  "presence-source.js": "instead of `presence.js`, only where a page asks for it",
  "presence-live.js":
    "for live numbers; with `data-hash`, `data-exclude` or `data-respect-dnt`; on `localhost` and in automated browsers; on plain http, where browsers have no Web Locks; in browsers without the Navigation API",
  "presence-faces.js": "only where a page uses `<presence-faces>`",
  "presence-client.js": "only where a page imports it: the npm package as one module",
};

/** What a program imports of the npm package. */
const IMPORTS = [
  ["createPresence", "presence-client", "index"],
  ["watchPresence", "presence-client", "index"],
  ["usePageTracking, usePresence", "presence-client/react", "react"],
  ["usePageTracking, usePresence", "presence-client/vue", "vue"],
  ["presence, trackPage", "presence-client/svelte", "svelte"],
  ["FacePile", "presence-client/react/face-pile", "face_pile"],
];

/** Bytes of a program that has these imports: of what is loaded with it, and of all that it may load. */
const measure = async (names, module) => {
  const { metafile, outputFiles } = await build({
    absWorkingDir: here("."),
    stdin: { contents: `export { ${names} } from "./src/${module}.ts";`, resolveDir: here(".") },
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    minify: true,
    format: "esm",
    target: "es2022",
    outdir: "out",
    packages: "external",
  });
  const gzipped = new Map(
    outputFiles.map(({ path, contents }) => [path, gzipSync(contents, { level: 9 }).length]),
  );
  const atOnce = new Set();
  const add = (output) => {
    if (atOnce.has(output)) return;
    atOnce.add(output);
    for (const { path, kind, external } of metafile.outputs[output].imports) {
      if (kind == "import-statement" && !external) add(path);
    }
  };
  add("out/stdin.js");
  const sum = (sizes) => sizes.reduce((total, size) => total + size, 0);
  return [sum([...atOnce].map((output) => gzipped.get(here(output)))), sum([...gzipped.values()])];
};

const row = (cells) => `| ${cells.join(" | ")} |`;
const bytes = (count) => `${count.toLocaleString("en")} B`;
const tenths = (count) => `${(Math.ceil(count / 100) / 10).toFixed(1)} kB`;

const order = Object.keys(LOADED);
const files = FILES.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
const tables = {
  files: [
    row(["file", "loaded", "minified", "gzip"]),
    "|---|---|--:|--:|",
    ...files.map(({ name, maxBytes, maxGzipBytes }) =>
      row([`\`${name}\``, LOADED[name], bytes(maxBytes), bytes(maxGzipBytes)]),
    ),
  ].join("\n"),
  imports: [
    row(["import", "from", "gzip", "with all that is loaded when needed"]),
    "|---|---|--:|--:|",
    ...(await Promise.all(
      IMPORTS.map(async ([names, from, module]) => {
        const [atOnce, all] = await measure(names, module);
        return row([`\`${names}\``, `\`${from}\``, tenths(atOnce), tenths(all)]);
      }),
    )),
  ].join("\n"),
};

const readme = await readFile(README, "utf8");
let written = readme;
for (const [name, table] of Object.entries(tables)) {
  const place = new RegExp(`(<!-- sizes of ${name}: written [^\n]*\n)[^]*?(\n<!-- end of sizes of ${name} -->)`);
  if (!place.test(written)) throw new Error(`README.md has no place for the sizes of ${name}`);
  written = written.replace(place, `$1${table}$2`);
}

/** A text with its tenths of kilobytes taken out. */
const splitSizes = (text) => {
  const sizes = [];
  const rest = text.replace(/\b(\d+\.\d) kB/g, (_, size) => (sizes.push(Number(size)), "kB"));
  return { rest, sizes };
};

if (process.argv.includes("--check")) {
  const [is, should] = [readme, written].map(splitSizes);
  const isClose = is.sizes.every((size, n) => Math.abs(size - should.sizes[n]) < 0.15);
  if (is.rest != should.rest || !isClose) {
    console.error("the sizes in README.md are not up to date: run node sizes.mjs in client/");
    process.exitCode = 1;
  }
} else await writeFile(README, written);
