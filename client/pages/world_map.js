/** Draws a dot for each place onto a map that was projected at build time. */

import { formatNumber } from "./format.js";

// The same numbers as in client/pages.mjs; the Natural Earth projection (Šavrič, Patterson, Jenny 2011).
const SCALE = 182.8;
const CENTRE = [500, 257];
const SVG = "http://www.w3.org/2000/svg";

/**
 * Projects coordinates onto the map.
 *
 * @param {number} latitude degrees
 * @param {number} longitude degrees
 * @returns {[number, number]}
 */
export function project(latitude, longitude) {
  const phi = (latitude * Math.PI) / 180;
  const lambda = (longitude * Math.PI) / 180;
  const p2 = phi ** 2;
  const p4 = p2 ** 2;
  const x = lambda * (0.8707 - 0.131979 * p2 + p4 * (-0.013791 + p4 * (0.003971 * p2 - 0.001529 * p4)));
  const y = phi * (1.007226 + p2 * (0.015085 + p4 * (-0.044475 + 0.028874 * p2 - 0.005916 * p4)));
  return [CENTRE[0] + SCALE * x, CENTRE[1] - SCALE * y];
}

/**
 * Renders places onto the map.
 *
 * @param {Element} dots the SVG above the land
 * @param {Element} map their container
 * @returns {(places: import("./model.js").Place[]) => void}
 */
export function createWorldMap(dots, map) {
  /** @type {Map<string, Element>} */
  const shown = new Map();
  return (places) => {
    const keys = new Set();
    for (const { latitude, longitude, city, count } of places) {
      const key = `${latitude} ${longitude} ${city ?? ""}`;
      keys.add(key);
      let dot = shown.get(key);
      if (!dot) {
        dot = document.createElementNS(SVG, "circle");
        const [x, y] = project(latitude, longitude);
        dot.setAttribute("cx", x.toFixed(1));
        dot.setAttribute("cy", y.toFixed(1));
        dot.append(document.createElementNS(SVG, "title"));
        shown.set(key, dot);
        dots.append(dot);
      }
      dot.setAttribute("r", Math.min(26, 5 + 2 * Math.sqrt(count)).toFixed(1));
      if (dot.firstChild) dot.firstChild.textContent = `${city ?? "Unknown city"}: ${formatNumber(count)}`;
    }
    for (const [key, dot] of shown) {
      if (keys.has(key)) continue;
      dot.remove();
      shown.delete(key);
    }
    map.ariaLabel = places.length
      ? `World map with ${formatNumber(places.length)} ${places.length === 1 ? "place" : "places"}`
      : "World map, no locations known";
  };
}
