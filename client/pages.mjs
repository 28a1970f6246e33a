// Builds what the pages load into service/web/static: one script per page from client/pages, uPlot's
// style sheet, and the world map.
//
//   node pages.mjs           writes the files
//   node pages.mjs --check   lists those that are not up to date and exits with 1
//
// One file per page and few more, because the headers of two dozen would cost more than their content.

import { geoIdentity, geoNaturalEarth1, geoPath } from "d3-geo";
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { minify } from "terser";
import { feature } from "topojson-client";
import { filter, filterWeight, presimplify, simplify } from "topojson-simplify";

const require = createRequire(import.meta.url);
const STATIC = new URL("../service/web/static/", import.meta.url);

// The map is 1000 units wide. client/pages/world_map.js projects places with the same formula and
// repeats these numbers.
const SCALE = 182.8;
const CENTRE = [500, 257];
const HEIGHT = 440; // from 84° N to 58° S: Antarctica has no visitors to show
const LEAST_AREA = 6; // square units; smaller islands are specks on a phone
const DETAIL = 1.5; // square units; smaller triangles are straightened

// Parts of the stats page that few visits need: files of their own, beside the page's.
const LATER = ["faces", "browse"];

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
    // Loaded when they are first wanted.
    external: LATER.map((later) => `./${later}.js`),
    plugins: [smallerUplot],
    write: false,
  });
  const { text } = outputFiles[0];
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 2 } });
  const { version } = require("uplot/package.json");
  const notice = text.includes("uPlot") ? `/*! with uPlot ${version}, MIT License, (c) Leon Sorokin */\n` : "";
  return `${notice}${code}\n`;
}

/** Natural Earth's land (public domain) as one path. */
function world() {
  const atlas = require("world-atlas/land-110m.json");
  const project = geoNaturalEarth1().scale(SCALE).translate(CENTRE).precision(0);
  const land = feature(atlas, atlas.objects.land);
  const polygons = land.features
    .flatMap(({ geometry }) => (geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates))
    .filter(([ring]) => ring.some(([, latitude]) => latitude > -58));
  // Project first, which also cuts polygons at the edges: simplification depends on what is visible.
  const arcs = rings(geoPath(project)({ type: "MultiPolygon", coordinates: polygons }));
  const topology = {
    type: "Topology",
    arcs,
    objects: { land: { type: "MultiPolygon", arcs: arcs.map((_, n) => [[n]]) } },
  };
  const weighed = presimplify(topology);
  const simple = simplify(filter(weighed, filterWeight(weighed, LEAST_AREA)), DETAIL);
  const shape = feature(simple, simple.objects.land);
  const d = rings(geoPath(geoIdentity())(shape)).map(relative).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 ${HEIGHT}"><path d="${d}"/></svg>\n`;
}

/** The rings of a path as d3 writes it, "Mx,yLx,y…Z…". */
function rings(path) {
  return path
    .split(/[MZ]+/)
    .filter(Boolean)
    .map((ring) => ring.split("L").map((pair) => pair.split(",").map(Number)))
    .map((ring) => [...ring, ring[0]]);
}

/** A ring in relative integer steps, which halves the size. */
function relative(ring) {
  const points = ring.map((point) => point.map(Math.round));
  let [x, y] = points[0];
  let d = `M${x} ${y}l`;
  for (const [nextX, nextY] of points.slice(1)) {
    if (nextX === x && nextY === y) continue;
    d += `${join(d)}${nextX - x}${nextY - y < 0 ? "" : " "}${nextY - y}`;
    [x, y] = [nextX, nextY];
  }
  return d.replaceAll(" -", "-") + "z";
}

const join = (d) => (d.endsWith("l") ? "" : " ");

const files = {
  "reference.js": await script("reference"),
  "start.js": await script("start"),
  "stats.js": await script("stats"),
  ...Object.fromEntries(await Promise.all(LATER.map(async (name) => [`${name}.js`, await script(name)]))),
  "uplot.css": readFileSync(require.resolve("uplot/dist/uPlot.min.css"), "utf8").trimEnd() + "\n",
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
