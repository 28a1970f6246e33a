/** What the panel lists: all pages, countries or sources, with how many are in each. */

import { countryName, formatTimeWithSeconds, readablePath, sourceName } from "./format.js";
import { say } from "./panel_messages.js";

const OTHER = "__other__";
const MAX_ROWS = "1000"; // the most that the service lists

/**
 * A row: what it filters by (null: it cannot), and what it is found by. `views` is null where they are not
 * known, and left out of a list without them.
 *
 * @typedef {{value: string | null, text: string, words: string, flag?: string, group: string, now: number, views?: number | null}} Row
 *
 * @typedef {import("./filters.js").Name} Listed
 *
 * @typedef {object} Catalogue
 * @property {string} title
 * @property {string} list what it is called by screen readers
 * @property {"pagesFound" | "countriesFound" | "sourcesFound"} found
 * @property {string[]} columns
 * @property {boolean} hasGroups
 * @property {() => Promise<{rows: Row[], note: string} | null>} load those with most people first; null: no answer
 */

/** @param {import("./api.js").SiteApi} api @returns {Record<Listed, Catalogue>} */
export function createCatalogues(api) {
  return {
    page: {
      title: say("allPages"),
      list: say("listPages"),
      found: "pagesFound",
      columns: [say("page"), say("now"), say("viewsColumn")],
      hasGroups: true,
      load: async () => {
        const numbers = await api.fetchJson("stats", { limit: MAX_ROWS });
        return numbers && { rows: pageRows(numbers), note: pageNote(numbers) };
      },
    },
    country: {
      title: say("allCountriesTitle"),
      list: say("listCountries"),
      found: "countriesFound",
      columns: [say("country"), say("now")],
      hasGroups: false,
      load: async () => {
        const numbers = await api.fetchJson("stats", { limit: "1" });
        return numbers && { rows: countryRows(numbers), note: asOf(numbers) };
      },
    },
    source: {
      title: say("allSourcesTitle"),
      list: say("listSources"),
      found: "sourcesFound",
      columns: [say("source"), say("now")],
      hasGroups: false,
      load: async () => {
        const numbers = await api.fetchJson("stats", { limit: "1" });
        return numbers && { rows: sourceRows(numbers), note: asOf(numbers) };
      },
    },
  };
}

/** @typedef {import("./model.js").Snapshot} Snapshot */

/** @param {Snapshot} numbers */
const asOf = (numbers) => say("asOf", { time: formatTimeWithSeconds(numbers.asOf) });

/** Most people first, then most views. @param {Snapshot} numbers @returns {Row[]} */
function pageRows({ activeByPath, pageStats }) {
  const now = new Map(activeByPath.map(({ path, count }) => [path, count]));
  const views = new Map(pageStats.map((page) => [page.path, page.views]));
  views.delete("__other__");
  return [...new Set([...now.keys(), ...views.keys()])]
    .map((path) => {
      const text = readablePath(path);
      return {
        value: path,
        text,
        words: `${text} ${path}`.toLowerCase(),
        group: readablePath(path.match(/^\/[^/]*/)?.[0] ?? path),
        now: now.get(path) ?? 0,
        views: views.get(path) ?? null,
      };
    })
    .sort((a, b) => b.now - a.now || (b.views ?? 0) - (a.views ?? 0) || (a.value < b.value ? -1 : 1));
}

/** @param {Snapshot} numbers */
function pageNote(numbers) {
  const { activeByPath, activeVisitors, pageStats } = numbers;
  const rest = activeVisitors - activeByPath.reduce((sum, { count }) => sum + count, 0);
  const viewed = new Set(pageStats.map(({ path }) => path));
  return (
    asOf(numbers) +
    (activeByPath.some(({ path }) => !viewed.has(path)) ? ` ${say("viewsKnown", { n: pageStats.length })}` : "") +
    (rest > 0 ? ` ${say("morePeople", { n: rest })}` : "")
  );
}

/** By count, then by name; unknown comes last. @param {Snapshot} numbers @returns {Row[]} */
function countryRows({ activeByCountry }) {
  return activeByCountry
    .map(({ country, count }) => {
      const text = country === null ? say("unknown") : countryName(country);
      return { value: country, text, words: `${text} ${country ?? ""}`.toLowerCase(), flag: country ?? "?", group: "", now: count };
    })
    .sort((a, b) => Number(a.value === null) - Number(b.value === null) || b.now - a.now || a.text.localeCompare(b.text));
}

/** In the service's order; those that it has no names for come last. @param {Snapshot} numbers @returns {Row[]} */
function sourceRows({ activeBySource = [] }) {
  return activeBySource.map(({ source, count }) => {
    const isOther = source === OTHER;
    const text = isOther ? say("otherSources") : sourceName(source ?? "--");
    return { value: isOther ? null : (source ?? "--"), text, words: text.toLowerCase(), group: "", now: count };
  });
}
