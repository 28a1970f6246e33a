// Builds what the pages load into service/web/static: one script per page and a style sheet
// from client/pages, uPlot's, and the world map.
//
//   node pages.mjs           writes the files
//   node pages.mjs --check   lists those that are not up to date and exits with 1
//
// One file per page and few more, because the headers of two dozen would cost more than their content.

import { build, transformSync } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { minify } from "terser";
import { world } from "./world.mjs";

const require = createRequire(import.meta.url);
const STATIC = new URL("../service/web/static/", import.meta.url);

// Parts of the stats page that few visits need: files of their own, beside the page's.
const LATER = ["faces", "browse", "share", "sites", "wall"];
// What pages say: the service makes these of the catalogue of a language.
const TEXTS = ["texts", "texts.panels", "texts.start"];

/** Removes two unused line types from uPlot, which saves 1 kB. */
const smallerUplot = {
  name: "smaller-uplot",
  setup({ onLoad }) {
    onLoad({ filter: /uPlot\.esm\.js$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8");
      const contents = source.replace(/^\t\(paths\.(stepped|spline) .*\n/gm, "");
      if (source.split("\n").length - contents.split("\n").length !== 2) throw new Error("uPlot has changed");
      return { contents };
    });
  },
};

/** Bundles the script of a page into one module. */
async function script(name) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`pages/${name}.js`, import.meta.url))],
    bundle: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    minifySyntax: true,
    legalComments: "none",
    // Loaded when they are first wanted, or made by the service.
    external: [...LATER, ...TEXTS].map((other) => `./${other}.js`),
    plugins: [smallerUplot],
    write: false,
  });
  const { text } = outputFiles[0];
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 2 } });
  const { version } = require("uplot/package.json");
  const notice = text.includes("uPlot") ? `/*! with uPlot ${version}, MIT License, (c) Leon Sorokin */\n` : "";
  return `${notice}${code}\n`;
}

/** A style sheet as small as it can be written, which for that of the stats page saves 1 kB. @param {string} css */
function styles(css) {
  return transformSync(css, { loader: "css", minify: true, charset: "utf8" }).code;
}

/** uPlot's style sheet without the rules of titles and legends, which the chart does not have. */
function chartSheet() {
  const sheet = readFileSync(require.resolve("uplot/dist/uPlot.min.css"), "utf8");
  const rules = sheet.match(/[^{}]*\{[^}]*\}/g) ?? [];
  return styles(rules.filter((rule) => !/^\.u-(title|legend|inline|series)/.test(rule.trim())).join(""));
}

const files = {
  "reference.js": await script("reference"),
  "pill.js": await script("pill"),
  "start.js": await script("start"),
  "stats.js": await script("stats"),
  ...Object.fromEntries(await Promise.all(LATER.map(async (name) => [`${name}.js`, await script(name)]))),
  "stats.css": styles(readFileSync(new URL("pages/stats.css", import.meta.url), "utf8")),
  "uplot.css": chartSheet(),
  "world.svg": world(),
};

const stale = Object.entries(files).filter(([name, text]) => {
  try {
    return readFileSync(new URL(name, STATIC), "utf8") !== text;
  } catch {
    return true;
  }
});
if (process.argv.includes("--check")) {
  for (const [name] of stale) console.error(`service/web/static/${name} is not up to date: node client/pages.mjs`);
  process.exitCode = stale.length ? 1 : 0;
} else {
  for (const [name, text] of stale) writeFileSync(new URL(name, STATIC), text);
}
