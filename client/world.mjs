// Builds the map of the stats page: each country a shape of its own, so that it can be shaded.

import { geoCentroid, geoContains, geoNaturalEarth1, geoPath } from "d3-geo";
import { createRequire } from "node:module";
import { feature } from "topojson-client";
import { filter, filterWeight, presimplify, simplify } from "topojson-simplify";

const require = createRequire(import.meta.url);

// The map is 1000 units wide. client/pages/projection.js projects places with the same formula and
// repeats these numbers.
const SCALE = 182.8;
const CENTRE = [500, 257];
const HEIGHT = 440; // from 84° N to 58° S: Antarctica has no visitors to show
const SOUTH = -58;
const LEAST_AREA = 10; // square units; smaller islands are specks on a phone
const DETAIL = 2.5; // square units; smaller triangles are straightened
const SPECK = 4; // units: the side of a country that is too small to be drawn

// What Natural Earth has no ISO 3166 code for, by the code that visitors from there come with.
const UNCODED = { Kosovo: "XK", Somaliland: "SO", "N. Cyprus": "CY" };
// What has a code of its own, though Natural Earth counts it to another country: longitude, latitude.
const OVERSEAS = {
  BQ: [-68.3, 12.2], GF: [-53.1, 4], GI: [-5.4, 36.1], GP: [-61.6, 16.2], MQ: [-61, 14.6],
  RE: [55.5, -21.1], SJ: [16, 78.2], YT: [45.1, -12.8],
};

const project = geoNaturalEarth1().scale(SCALE).translate(CENTRE).precision(0);

/** Natural Earth's countries (public domain): a path each; those that are too small to be drawn are a group. */
export function world() {
  const shapes = simplified(ringsByCode(require("world-atlas/countries-110m.json")));
  const paths = [...shapes].map(([code, rings]) => path(code, rings.map(relative).join("")));
  const specks = Object.entries({ ...centroids(require("world-atlas/countries-50m.json")), ...OVERSEAS })
    .filter(([code]) => code && !shapes.has(code))
    .map(([code, place]) => path(code, speck(project(place))));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 ${HEIGHT}">${paths.join("")}<g>${specks.join("")}</g></svg>\n`;
}

const path = (code, d) => `<path data-country="${code}" d="${d}"/>`;

/** ISO's numbers are the atlas's ids; "und-276" is canonically "und-DE". */
function codeOf({ id, properties: { name } }) {
  return UNCODED[name] ?? (id ? new Intl.Locale(`und-${id}`).region : "");
}

/** Projects first, which also cuts polygons at the edges: simplification depends on what is visible. */
function ringsByCode(atlas) {
  const draw = geoPath(project);
  const found = new Map();
  for (const country of feature(atlas, atlas.objects.countries).features) {
    const { type, coordinates } = country.geometry;
    for (const polygon of type === "Polygon" ? [coordinates] : coordinates) {
      if (polygon[0].every(([, latitude]) => latitude <= SOUTH)) continue;
      const code = overseas(polygon) ?? codeOf(country);
      found.set(code, [...(found.get(code) ?? []), ...ringsOf(draw({ type: "Polygon", coordinates: polygon }))]);
    }
  }
  return found;
}

const overseas = (coordinates) => Object.keys(OVERSEAS).find((code) => geoContains({ type: "Polygon", coordinates }, OVERSEAS[code]));

/** The rings of a path as d3 writes it, "Mx,yLx,y…Z…", without the last point that is the first. */
function ringsOf(path) {
  return path
    .split(/[MZ]+/)
    .filter(Boolean)
    .map((ring) => ring.split("L").map((pair) => pair.split(",").map(Number)));
}

/** Straightens borders. Countries that share one keep sharing it: it is one arc of a topology. */
function simplified(ringsOf) {
  const all = [...ringsOf.values()].flat();
  const ends = junctions(all);
  const indexes = new Map();
  const arcs = [];
  const indexOf = (points) => {
    const backwards = points.toReversed();
    const [key, reverse] = [points.join(" "), backwards.join(" ")];
    if (indexes.has(reverse)) return ~indexes.get(reverse);
    if (!indexes.has(key)) indexes.set(key, arcs.push(points) - 1);
    return indexes.get(key);
  };
  const geometries = [...ringsOf].map(([code, rings]) => ({
    type: "MultiPolygon",
    id: code,
    arcs: rings.map((ring) => [arcsOf(ring, ends).map(indexOf)]),
  }));
  const topology = { type: "Topology", arcs, objects: { countries: { type: "GeometryCollection", geometries } } };
  const weighed = presimplify(topology);
  const simple = simplify(filter(weighed, filterWeight(weighed, LEAST_AREA)), DETAIL);
  const countries = feature(simple, simple.objects.countries).features.filter(({ geometry }) => geometry?.coordinates?.length);
  return new Map(countries.map(({ id, geometry }) => [id, geometry.type === "Polygon" ? geometry.coordinates : geometry.coordinates.flat()]));
}

/** Points at which borders meet: there not all rings have the same neighbours. */
function junctions(rings) {
  const neighbours = new Map();
  const found = new Set();
  for (const ring of rings) {
    ring.forEach((point, n) => {
      const pair = [ring.at(n - 1), ring[(n + 1) % ring.length]].map(String).sort().join(" ");
      const key = String(point);
      if ((neighbours.get(key) ?? pair) !== pair) found.add(key);
      neighbours.set(key, pair);
    });
  }
  return found;
}

/** Cuts a ring where borders meet. One that meets none begins at its least point, for all alike. */
function arcsOf(ring, ends) {
  const cuts = ring.flatMap((point, n) => (ends.has(String(point)) ? [n] : []));
  if (!cuts.length) cuts.push(ring.reduce((least, point, n) => (String(point) < String(ring[least]) ? n : least), 0));
  return cuts.map((from, n) => {
    const to = cuts[n + 1] ?? cuts[0] + ring.length;
    return Array.from({ length: to - from + 1 }, (_, step) => ring[(from + step) % ring.length]);
  });
}

function centroids(atlas) {
  const { features } = feature(atlas, atlas.objects.countries);
  return Object.fromEntries(features.filter(({ id }) => id !== "010").map((country) => [codeOf(country), geoCentroid(country)]));
}

function speck([x, y]) {
  return `M${Math.round(x - SPECK / 2)} ${Math.round(y - SPECK / 2)}h${SPECK}v${SPECK}h-${SPECK}z`;
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
