/** The world map: shaded countries, dots for the places, and what is said of each. */

import { byId } from "./dom.js";
import { dotsOf } from "./dots.js";
import { countryName, formatNumber, formatPeople } from "./format.js";
import { createLand } from "./land.js";
import { createMapLabel } from "./map_label.js";
import { MAP_WIDTH } from "./projection.js";
import { createRovingFocus } from "./roving_focus.js";
import { say } from "./messages.js";

const SVG = "http://www.w3.org/2000/svg";
const NAMED = 3; // places of a dot that its label names
/** How far from the edge of a dot somebody may be who aims at it, in px. @type {Record<string, number>} */
const REACH_PX = { mouse: 3, pen: 8, touch: 20 };

/**
 * @typedef {import("./model.js").Place} Place
 * @typedef {import("./land.js").Shading & {places: Place[], total: number}} Shown total`: people on the whole site
 * @typedef {import("./map_label.js").Text} Text
 */

/**
 * @param {(code: string) => void} onSelect called with the country that a reader clicks
 * @returns {(shown: Shown) => void}
 */
export function createWorldMap(onSelect) {
  const map = byId("map");
  const layer = byId("map-dots");
  const label = createMapLabel(map);
  const shade = createLand(byId("map-land"), () => render());
  const setReachable = createRovingFocus(map);
  /** @type {Map<string, SVGElement>} */
  const circles = new Map();
  /** @type {import("./dots.js").Dot[]} */
  let dots = [];
  /** What is said of each dot, and then of each country with people. @type {Map<SVGElement, Text>} */
  let marks = new Map();
  /** @type {Shown} */
  let shown = { places: [], total: 0, countries: new Map(), selected: null };
  /** @type {SVGElement | null} */
  let labelled = null;

  const render = () => {
    if (!map.clientWidth) return; // hidden
    dots = dotsOf(shown.places, shown.total, MAP_WIDTH / map.clientWidth);
    const before = marks;
    marks = new Map(showDots());
    for (const [shape, code, count] of shade(shown)) marks.set(shape, [formatPeople(count), countryName(code)]);
    for (const node of before.keys()) if (!marks.has(node)) unname(node);
    for (const [node, text] of marks) name(node, text);
    setReachable([...marks.keys()]);
    if (labelled && !marks.has(labelled)) hideLabel();
  };

  /** @returns {[SVGElement, Text][]} */
  const showDots = () => {
    // A dot stays the same while the place with most of its people does.
    const keys = dots.map(({ places: [{ latitude, longitude }] }) => `${latitude} ${longitude}`);
    for (const [key, circle] of circles) {
      if (keys.includes(key)) continue;
      circles.delete(key);
      circle.remove();
    }
    return dots.map(({ x, y, radius, count, places }, n) => {
      let circle = circles.get(keys[n]);
      if (!circle) {
        circle = document.createElementNS(SVG, "circle");
        circles.set(keys[n], circle);
        layer.append(circle);
      }
      for (const [attribute, value] of Object.entries({ cx: x, cy: y, r: radius })) circle.setAttribute(attribute, value.toFixed(1));
      return [circle, [formatPeople(count), whereabouts(places)]];
    });
  };

  /** @param {SVGElement} node @param {PointerEvent} [event] a dot's label is above it, a country's where the pointer is */
  const showLabel = (node, event) => {
    const text = marks.get(node);
    if (!text) return;
    labelled = node;
    label.show(text, event && !node.matches("circle") ? new DOMRect(event.clientX, event.clientY) : node.getBoundingClientRect());
  };
  const hideLabel = () => {
    labelled = null;
    label.hide();
  };

  /** The dot that somebody points at, or else the country. @param {PointerEvent} event */
  const markAt = ({ clientX, clientY, target, pointerType }) => {
    const { left, top, width } = map.getBoundingClientRect();
    const [x, y] = [((clientX - left) * MAP_WIDTH) / width, ((clientY - top) * MAP_WIDTH) / width];
    const nodes = [...marks.keys()];
    let found = nodes.find((node) => node === target) ?? null;
    let least = (REACH_PX[pointerType] * MAP_WIDTH) / width;
    dots.forEach((dot, n) => {
      const gap = Math.hypot(dot.x - x, dot.y - y) - dot.radius;
      if (gap < least) [least, found] = [gap, nodes[n]];
    });
    return found;
  };

  /** @param {PointerEvent} event */
  const point = (event) => {
    const node = markAt(event);
    if (node) showLabel(node, event);
    else hideLabel();
    return node;
  };
  map.addEventListener("pointermove", point);
  map.addEventListener("pointerleave", hideLabel);
  map.addEventListener("click", (event) => {
    const node = point(/** @type {PointerEvent} */ (event));
    // A finger that is on a dot wants its label.
    if (node?.matches("circle") && /** @type {PointerEvent} */ (event).pointerType === "touch") return;
    const { country } = /** @type {SVGElement} */ (event.target).dataset;
    if (country && shown.countries.get(country)) onSelect(country);
  });
  map.addEventListener("focusin", ({ target }) => showLabel(/** @type {SVGElement} */ (target)));
  map.addEventListener("focusout", hideLabel);
  document.addEventListener("keydown", ({ key }) => key === "Escape" && hideLabel());
  document.addEventListener("click", ({ target }) => map.contains(/** @type {Node} */ (target)) || hideLabel());
  new ResizeObserver(render).observe(map); // dots that were apart overlap as it shrinks

  return (next) => {
    shown = next;
    const count = next.places.length;
    map.ariaLabel = count ? say("mapPlaces", { n: count }) : say("mapCountries");
    render();
  };
}

/** "Berlin, Germany"; of several places those with most people. @param {Place[]} places */
function whereabouts(places) {
  const countryOf = /** @param {Place} place */ ({ country }) => country && countryName(country);
  if (places.length === 1) return [places[0].city, countryOf(places[0])].filter(Boolean).join(", ") || say("unknownCity");
  const named = places.slice(0, places.length > NAMED + 1 ? NAMED : places.length);
  const parts = named.map((place) => `${place.city ?? countryOf(place) ?? say("unknown")} ${formatNumber(place.count)}`);
  const more = places.length - named.length;
  return [...parts, ...(more ? [say("morePlaces", { n: more })] : [])].join(", ");
}

/** @param {SVGElement} node @param {Text} text */
function name(node, [people, where]) {
  const label = say("labelled", { label: where, value: people });
  if (node.ariaLabel === label) return;
  node.role = "img";
  node.ariaLabel = label;
}

/** @param {SVGElement} node */
function unname(node) {
  node.role = node.ariaLabel = null;
}
