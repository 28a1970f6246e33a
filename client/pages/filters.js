/** What the page is filtered by: kept in its address, so that Back undoes it and the URL can be shared. */

import { normalizePath } from "../src/normalize_path.js";
import { byId, element, setText } from "./dom.js";
import { countryName, readablePath, sourceName } from "./format.js";
import { say } from "./messages.js";
import { setPath } from "./path_text.js";

/**
 * One thing to filter by, such as the page.
 *
 * @typedef {object} Dimension
 * @property {"page" | "country" | "source"} label names the text for readers
 * @property {(text: string) => string | null} parse normalizes a value of the address; null: it is not one
 * @property {(value: string) => string} format for readers
 */

/** By their names in the address. @satisfies {Record<string, Dimension>} */
const DIMENSIONS = {
  page: { label: "page", parse: parsePath, format: readablePath },
  country: { label: "country", parse: parseCountry, format: countryName },
  source: { label: "source", parse: parseSource, format: sourceName },
};

/** @typedef {keyof typeof DIMENSIONS} Name */
/** @typedef {{readonly [N in Name]: string | null}} Filters null: not filtered by it */

const NAMES = /** @type {Name[]} */ (Object.keys(DIMENSIONS));
export const NONE = parsed(() => "");

/**
 * What a part of the page is filtered by that can follow these. What cannot follow one of the filters follows
 * none: it says that it shows the whole site.
 *
 * @param {Filters} filters
 * @param {...Name} can
 * @returns {Filters}
 */
export function followed(filters, ...can) {
  return NAMES.some((name) => filters[name] !== null && !can.includes(name)) ? NONE : filters;
}

/**
 * Binds the row of chips. A part of the page that names in `data-follows` what it can be filtered by is
 * marked as showing the whole site while there is another filter.
 *
 * @param {(before: Filters) => void} onChange
 * @returns {{readonly current: Filters, toggle: (name: Name, value: string) => void}} `toggle` sets a filter;
 *   the value it already has takes it away
 */
export function createFilters(onChange) {
  let current = readFilters();
  const chips = byId("chips");
  const clear = byId("clear-filter");

  const show = () => {
    const set = NAMES.filter((name) => current[name] !== null);
    chips.replaceChildren(...set.map((name) => createChip(name, String(current[name]))));
    clear.hidden = !set.length;
    byId("chips-none").hidden = set.length > 0;
    document.documentElement.toggleAttribute("data-filtered", set.length > 0);
    for (const part of document.querySelectorAll("[data-follows]")) {
      const follows = /** @type {HTMLElement} */ (part).dataset.follows?.split(" ") ?? [];
      const isWhole = set.some((name) => !follows.includes(name));
      part.toggleAttribute("data-whole", isWhole);
      const title = part.querySelector("h2, dt, p");
      const note = title?.querySelector(".whole-site");
      if (!isWhole) note?.remove();
      else if (!note) title?.append(element("span", "whole-site", ` ${say("wholeSite")}`));
    }
  };

  /** @param {Name} name @param {string} value */
  const createChip = (name, value) => {
    const { label, format } = DIMENSIONS[name];
    const what = element("bdi");
    (name === "page" ? setPath : setText)(what, format(value));
    const [before, after] = say("labelled", { label: say(label) }).split("{value}");
    const text = [before, what, after];
    if (document.documentElement.dataset.mode === "wall") return element("li", "", element("span", "chip", ...text)); // nobody can press it
    const cross = element("span", "cross", "✕");
    cross.ariaHidden = "true";
    const chip = element("button", "chip", ...text, cross, element("span", "visually-hidden", ` ${say("remove")}`));
    chip.setAttribute("type", "button");
    chip.addEventListener("click", () => change({ ...current, [name]: null }));
    return element("li", "", chip);
  };

  /** @param {Filters} next */
  const change = (next) => {
    const query = new URLSearchParams(location.search);
    for (const name of NAMES) {
      const value = next[name];
      if (value === null) query.delete(name);
      else query.set(name, value);
    }
    history.pushState(null, "", location.pathname + (query.size ? `?${query}` : "") + location.hash);
    const hadFocus = byId("filters").contains(document.activeElement);
    follow();
    // The chip that had the focus is gone: its neighbour has it now, or what can be chosen next.
    if (hadFocus) (chips.querySelector("button") ?? byId("filters")).focus();
  };

  const follow = () => {
    const before = current;
    current = readFilters();
    show();
    onChange(before);
  };

  clear.addEventListener("click", () => change(NONE));
  addEventListener("popstate", follow);
  show();
  return {
    get current() {
      return current;
    },
    toggle: (name, value) => change({ ...current, [name]: value === current[name] ? null : value }),
  };
}

/** Those of the address. @returns {Filters} */
export function readFilters() {
  const query = new URLSearchParams(location.search);
  return parsed((name) => query.get(name) ?? "");
}

/** @param {(name: Name) => string} textOf @returns {Filters} */
function parsed(textOf) {
  return /** @type {Filters} */ (Object.fromEntries(NAMES.map((name) => [name, DIMENSIONS[name].parse(textOf(name))])));
}

/** @param {string} text */
function parsePath(text) {
  const path = normalizePath(text);
  return /^\/(?!\/)/.test(path) && new TextEncoder().encode(path).length <= 512 ? path : null;
}

/** @param {string} text */
function parseCountry(text) {
  return /^[a-z]{2}$/i.test(text) ? text.toUpperCase() : null;
}

/** Normalizes a source as the service does. @param {string} text */
function parseSource(text) {
  return text.normalize("NFC").replace(/\s+/g, " ").trim().slice(0, 64).toLowerCase() || null;
}
