/** The dots of the map: as large as the number of people, and one where several would overlap. */

import { MAP_HEIGHT, MAP_WIDTH, project } from "./projection.js";

const LEAST_PX = 4; // a dot that can be seen
const MOST_PX = 4; // the radius for one person, where there are few
const SHARE = 0.02; // of the map that the dots of a whole site cover, where there are many

/** @typedef {import("./model.js").Place} Place */

/**
 * Places that are shown as one, those with most people first.
 *
 * @typedef {{x: number, y: number, radius: number, count: number, places: Place[]}} Dot
 */

/**
 * Dots of which no two overlap: those that would are joined, at their common centre, with their joint area.
 *
 * @param {Place[]} places
 * @param {number} total people on the whole site: a filter makes no dot larger
 * @param {number} unitsPerPixel of the map as it is shown
 * @returns {Dot[]} those with most people first
 */
export function dotsOf(places, total, unitsPerPixel) {
  const perPerson = Math.min(MOST_PX * unitsPerPixel, Math.sqrt((SHARE * MAP_WIDTH * MAP_HEIGHT) / Math.PI / Math.max(1, total)));
  /** @param {number} count */
  const radiusOf = (count) => Math.max(LEAST_PX * unitsPerPixel, perPerson * Math.sqrt(count));
  /** @type {Dot[]} */
  const dots = [];
  for (const place of places.toSorted((a, b) => b.count - a.count)) {
    const [x, y] = project(place.latitude, place.longitude);
    let dot = { x, y, radius: radiusOf(place.count), count: place.count, places: [place] };
    // A dot that has grown may reach others.
    for (let at; (at = dots.findIndex((other) => overlap(dot, other))) >= 0; ) {
      dot = joined(dots.splice(at, 1)[0], dot, radiusOf);
    }
    dots.push(dot);
  }
  for (const dot of dots) dot.places.sort((a, b) => b.count - a.count);
  return dots.sort((a, b) => b.count - a.count);
}

/** @param {Dot} a @param {Dot} b */
const overlap = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) < a.radius + b.radius;

/** @param {Dot} a @param {Dot} b @param {(count: number) => number} radiusOf @returns {Dot} */
function joined(a, b, radiusOf) {
  const count = a.count + b.count;
  return {
    x: (a.x * a.count + b.x * b.count) / count,
    y: (a.y * a.count + b.y * b.count) / count,
    radius: radiusOf(count),
    count,
    places: [...a.places, ...b.places],
  };
}
