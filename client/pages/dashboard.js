/** Renders the numbers: active visitors, pages, countries, and totals. */

import { createCountList } from "./count_list.js";
import { allowsMotion, byId, element, setText } from "./dom.js";
import { formatEstimate } from "./estimate.js";
import { followed } from "./filters.js";
import { activeWithin, countryName, formatDate, formatNumber, formatPeople, readablePath } from "./format.js";
import { setPath } from "./path_text.js";
import { createRowOrder } from "./row_order.js";
import { createSources } from "./sources.js";
import { createWorldMap } from "./world_map.js";
import { say } from "./messages.js";
import { nowWhere } from "./now_where.js";

/** Maximum rows of each list, by page mode. */
const ROW_LIMITS = {
  page: { pages: 12, top: 10, countries: 6 },
  wall: { pages: 14, top: 0, countries: 8 },
  embed: { pages: 5, top: 0, countries: 0 },
};

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./filters.js").Filters} Filters */

/**
 * @param {(name: import("./filters.js").Name, value: string) => void} onSelect called when a reader picks a row
 * @param {(name: import("./catalogues.js").Listed) => void} onBrowse called when a reader wants to see all of a list
 * @returns {(model: Model, filters: Filters) => void} renders a model
 */
export function createDashboard(onSelect, onBrowse) {
  const mode = /** @type {keyof typeof ROW_LIMITS} */ (document.documentElement.dataset.mode ?? "page");
  const limits = ROW_LIMITS[mode] ?? ROW_LIMITS.page;
  /** @param {import("./catalogues.js").Listed} name */
  const browse = (name) => (mode === "page" ? () => onBrowse(name) : undefined); // a frame has no room
  /** @param {import("./filters.js").Name} name */
  const picks = (name) => (mode === "wall" ? undefined : (/** @type {string} */ value) => onSelect(name, value)); // and a wall no hand
  const pages = createCountList(byId("pages"), { onSelect: picks("page"), onOther: browse("page"), showDeltas: true });
  const top = createCountList(byId("top"), { onSelect: picks("page"), onOther: browse("page") });
  const countries = createCountList(byId("countries"), { onSelect: picks("country"), onOther: browse("country"), showDeltas: true });
  const map = createWorldMap((code) => onSelect("country", code));
  const now = byId("active");
  let again = () => {};
  /** @param {string} id */
  const orderOf = (id) => createRowOrder(byId(id), () => again());
  const orders = { pages: orderOf("pages"), top: orderOf("top"), countries: orderOf("countries") };
  const showSources = createSources(picks("source"), browse("source"), orderOf);

  /** @param {Model} model @param {Filters} filters */
  const showActive = (model, filters) => {
    const { activeVisitors, sessionTimeoutMs } = model.numbers;
    const { page, country, source } = filters;
    const count = model.countOf(filters);
    const text = formatNumber(count);
    if (now.textContent !== text && now.textContent !== "–" && allowsMotion()) {
      now.animate([{ color: "var(--accent)" }, {}], 1200);
    }
    setText(now, text);
    now.style.setProperty("--digits", String(text.length));
    if (page !== null) showPhrase(byId("active-label"), say("onPageNow", { n: count }), page);
    else setText(byId("active-label"), nowWhere(count, filters));
    setText(byId("active-definition"), activeWithin(sessionTimeoutMs));
    const isFiltered = page !== null || country !== null || source !== null;
    byId("filter").hidden = !isFiltered;
    byId("active-definition").hidden = isFiltered;
    setText(
      byId("filter"),
      say("ofPeople", { people: formatPeople(activeVisitors) }) +
        (page !== null && country !== null ? ` ${say("allCountries")}` : "") +
        (source !== null && (page !== null || country !== null) ? ` ${say("allSources")}` : "") +
        (page !== null && count === 0 && model.viewsOf(page) === 0 ? ` ${say("neverViewed")}` : ""),
    );
  };

  /** @param {Model} model @param {Filters} filters */
  const showPages = (model, { page }) => {
    const shown = orders.pages(model.pages(limits.pages), (path) => model.countOn(path), limits.pages);
    // What is filtered by is listed, however few are there.
    if (page !== null && model.countOn(page) && !shown.some(([path]) => path === page)) shown.push([page, model.countOn(page)]);
    /** @type {import("./count_list.js").Row[]} */
    const rows = shown.map(([path, count]) => pageRow(path, count));
    const remainder = model.remainder(shown);
    if (remainder) rows.push({ key: "other pages", label: say("otherPages"), count: remainder, isOther: true });
    pages(rows, page);
    byId("pages-none").hidden = rows.length > 0;
    setText(byId("pages-sum"), rows.length ? say("inAll", { people: formatPeople(model.numbers.activeVisitors) }) : "");
  };

  /** @param {Model} model @param {Filters} filters */
  const showTotals = (model, filters) => {
    const { page } = followed(filters, "page");
    const { activeVisitors, totalPageViews, uniqueVisitors, uniqueVisitorsToday, trackingSince, pageStats, totalPaths } = model.numbers;
    const views = page === null ? totalPageViews : model.viewsOf(page);
    setText(byId("views"), views === null ? "–" : formatNumber(views));
    setText(byId("uniques"), formatEstimate(uniqueVisitors, uniqueVisitorsToday, activeVisitors));
    setText(byId("today"), formatEstimate(uniqueVisitorsToday, activeVisitors));
    setText(byId("since"), views === null ? say("knownOfPages", { n: pageStats.length }) : trackingSince ? say("countedSince", { date: formatDate(trackingSince) }) : say("noneSoFar"));
    const viewsOf = new Map(pageStats.flatMap(({ path, views }) => (path === "__other__" ? [] : [[path, views]])));
    const listed = orders.top([...viewsOf].slice(0, limits.top), (path) => viewsOf.get(path), limits.top);
    const rest = totalPageViews - listed.reduce((sum, [, count]) => sum + count, 0);
    top(
      [
        ...listed.map(([path, count]) => pageRow(path, count)),
        ...(viewsOf.size > listed.length ? [{ key: "other pages", label: say("otherPages"), count: rest, isOther: true }] : []),
      ],
      filters.page,
    );
    setText(byId("top-sum"), say("topSum", { n: totalPaths }));
  };

  /** @param {Model} model @param {Filters} filters */
  const showCountries = (model, filters) => {
    const all = model.countries();
    const counts = new Map(all.flatMap(([code, count]) => (code === null ? [] : [[code, count]])));
    const known = orders.countries([...counts].slice(0, limits.countries), (code) => counts.get(code) ?? 0, limits.countries);
    const rows = known.map(([code, count]) => ({ key: code, label: countryName(code), flag: code, count }));
    const unknown = all.find(([code]) => code === null)?.[1] ?? 0;
    const listed = rows.reduce((sum, row) => sum + row.count, unknown);
    const remainder = all.reduce((sum, [, count]) => sum + count, 0) - listed;
    const isEmpty = model.numbers.activeVisitors === 0;
    const { country } = followed(filters, "country");
    const { places, elsewhere } = model.placesIn(country);
    // Hide the map when it is empty, and the list when all it says is "unknown".
    const isUnknown = isEmpty || (!known.length && !places.length);
    byId("map").hidden = isUnknown;
    setText(byId("elsewhere"), places.length && elsewhere ? say("elsewhere", { n: elsewhere }) : "");
    byId("countries").hidden = isUnknown;
    byId("countries-unknown").hidden = !isUnknown || isEmpty;
    byId("countries-none").hidden = !isEmpty;
    byId("places").toggleAttribute("data-short", isUnknown);
    countries([
      ...rows,
      ...(remainder ? [{ key: "other", label: say("otherCountries"), count: remainder, isOther: true }] : []),
      ...(unknown ? [{ key: "unknown", label: say("unknown"), flag: "?", count: unknown, isOther: true, isPlain: true }] : []),
    ], filters.country);
    map({ places: isEmpty ? [] : places, total: model.numbers.activeVisitors, countries: counts, selected: country });
  };

  /** @param {Model} model @param {Filters} filters */
  const render = (model, filters) => {
    again = () => render(model, filters);
    showActive(model, filters);
    showPages(model, filters);
    showTotals(model, filters);
    showCountries(model, filters);
    showSources(model, filters);
  };
  return render;
}

/**
 * Shows words with a {path} among them, on two lines at most: where that is not enough, the path is shortened.
 *
 * @param {HTMLElement} node
 * @param {string} words
 * @param {string} path
 */
function showPhrase(node, words, path) {
  const [before, after] = words.split("{path}");
  const text = readablePath(path);
  if (node.textContent === before + text + after) return;
  const where = element("bdi");
  setPath(where, text);
  node.replaceChildren(element("span", "phrase", element("span", "", before), element("span", "phrase", where, after)));
  node.classList.remove("long");
  node.classList.toggle("long", node.offsetHeight > 2.5 * parseFloat(getComputedStyle(node).lineHeight));
}

/** @param {string} path @param {number} count */
function pageRow(path, count) {
  return { key: path, label: readablePath(path), isPath: true, count };
}
