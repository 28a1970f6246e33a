/**
 * Builds the client into ../service/web/static:
 *
 *   presence.js       the script tag
 *   presence-source.js  the script tag that also says how the visitor came
 *   presence-live.js  the lazy-loaded part: live numbers, locks, and rules
 *   presence-faces.js   the element <presence-faces>
 *   presence-client.js  the npm package as one module, for pages without a bundler
 *
 * `node build.mjs` writes the files; `--check` exits 1 if one is not up to date. Both exit 1 if one is
 * too large. Builds are reproducible.
 */

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Each file with its entry module and its maximum size, minified and gzipped. */
export const FILES = [
  { name: "presence.js", entry: "src/client.ts", isTag: true, maxBytes: 2048, maxGzipBytes: 1100 },
  { name: "presence-live.js", entry: "src/lazy.ts", isTag: false, maxBytes: 4096, maxGzipBytes: 1720 },
  { name: "presence-faces.js", entry: "src/faces_element.ts", isTag: false, maxBytes: 8192, maxGzipBytes: 3900 },
  { name: "presence-client.js", entry: "src/index.ts", isTag: false, maxBytes: 14336, maxGzipBytes: 5600 },
  { name: "presence-source.js", entry: "src/client.ts", isTag: true, saysSource: true, maxBytes: 2560, maxGzipBytes: 1340 },
];

/** Captures what precedes `createClient`, its body, and the object it returns. */
const FORM =
  /^([^]*)export const createClient = \([^]*?\): Presence => \{\n([^]*)\n {2}return \{\n([^]*)\};\n$/;

/**
 * Inlines the body of `createClient` at the top level, which saves 15 bytes.
 */
const inlineClient = (saysSource) => ({
  name: "inline client",
  setup(build) {
    build.onLoad({ filter: /src\/client\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const parts = FORM.exec(source);
      if (!parts) throw new Error("client.ts does not have the form that can be inlined");
      const [, head, body, api] = parts;
      return {
        loader: "ts",
        contents: `import { loadLazy, options, url } from "./script_tag.js";
${saysSource ? 'import { sendHeartbeat } from "./source_tag.js";' : ""}
${head}${body}
self.presence = {
${api}`,
      };
    });
  },
});

/** Bundles one file; unminified for tests. */
export const bundle = async ({ entry, isTag, saysSource }, isMinified = true) => {
  const bundled = await build({
    absWorkingDir: here("."),
    entryPoints: [entry],
    plugins: isTag ? [inlineClient(saysSource)] : [],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    // Tokens are for the npm package only.
    define: isTag && !saysSource ? { sendHeartbeat: "fetch" } : {},
    minifySyntax: isMinified,
  });
  const [{ text }] = bundled.outputFiles;
  const code = isMinified ? await minified(text) : text;
  // Loaded twice, it runs once. `presence` may also be an element's id, hence `.leave`.
  return isTag ? `if(!self.presence?.leave){${scoped(code)}}` : code;
};

/**
 * Variable names by frequency of use. This order, found by trial, saves 10 gzipped bytes.
 */
const NAMES = "etoracinlfuhgvkpswdAymbxqjzTEPSILNMORCDBFHWUJKGVQXYZ_$";
const nth_identifier = { get: (n) => NAMES[n] ?? `$${n}` };

const minified = async (text) => {
  const { code } = await minify(text, {
    ecma: 2020,
    module: true,
    compress: {
      passes: 2,
      inline: 1,
      unsafe: true,
      unsafe_arrows: true,
      unsafe_methods: true,
      pure_getters: true,
    },
    mangle: { nth_identifier },
    format: { comments: false },
  });
  return code.replace(/;$/, "");
};

/** Turns esbuild's top-level `var` into `let`, which stays inside the block. */
const scoped = (code) => {
  const inBlock = code.replace(/\bvar(?=[ {])/g, "let");
  if (/\bfunction\b/.test(inBlock)) throw new Error("presence.js would leave names on the page");
  return inBlock;
};

const run = async () => {
  const isCheck = process.argv.includes("--check");
  for (const file of FILES) {
    const target = here(`../service/web/static/${file.name}`);
    const code = await bundle(file);
    const gzipped = gzipSync(code, { level: 9 }).length;
    const size = Buffer.byteLength(code);
    console.log(
      `${file.name}: ${size} of ${file.maxBytes} B, gzip ${gzipped} of ${file.maxGzipBytes} B`,
    );
    if (size > file.maxBytes || gzipped > file.maxGzipBytes) {
      console.error(`${file.name} is too large`);
      process.exitCode = 1;
    }
    if (!isCheck) await writeFile(target, code);
    else if ((await readFile(target, "utf8").catch(() => "")) !== code) {
      console.error(`${file.name} is not up to date: run npm run build in client/`);
      process.exitCode = 1;
    }
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await run();
