/** Renders the numbers: active visitors, pages, countries, and totals. */

import { createCountList } from "./count_list.js";
import { allowsMotion, byId, setText } from "./dom.js";
import { countryName, flagEmoji, formatDate, formatDuration, formatNumber, formatPeople, readablePath } from "./format.js";
import { createRowOrder } from "./row_order.js";
import { createWorldMap } from "./world_map.js";

/** Maximum rows of each list, by page mode. */
const ROW_LIMITS = {
  page: { pages: 12, top: 10, countries: 6 },
  wall: { pages: 7, top: 0, countries: 6 },
  embed: { pages: 5, top: 0, countries: 0 },
};

/**
 * @param {(path: string) => void} onSelect called when a reader picks a page
 * @returns {(model: import("./model.js").Model, selected: string | null) => void} renders a model
 */
export function createDashboard(onSelect) {
  const mode = /** @type {keyof typeof ROW_LIMITS} */ (document.documentElement.dataset.mode ?? "page");
  const limits = ROW_LIMITS[mode] ?? ROW_LIMITS.page;
  const pages = createCountList(byId("pages"), { onSelect, showDeltas: true });
  const top = createCountList(byId("top"), { onSelect });
  const countries = createCountList(byId("countries"), { showDeltas: true });
  const map = createWorldMap(byId("map-dots"), byId("map"));
  const now = byId("active");
  let again = () => {};
  /** @param {string} id */
  const orderOf = (id) => createRowOrder(byId(id), () => again());
  const orders = { pages: orderOf("pages"), top: orderOf("top"), countries: orderOf("countries") };

  /** @param {import("./model.js").Model} model @param {string | null} selected */
  const showActive = (model, selected) => {
    const { activeVisitors, sessionTimeoutMs } = model.numbers;
    const count = selected === null ? activeVisitors : model.countOn(selected);
    const text = formatNumber(count);
    if (now.textContent !== text && now.textContent !== "–" && allowsMotion()) {
      now.animate([{ color: "var(--accent)" }, {}], 1200);
    }
    setText(now, text);
    now.style.setProperty("--digits", String(text.length));
    const noun = count === 1 ? "person" : "people";
    setText(byId("active-label"), selected === null ? `${noun} here now` : `${noun} on ${readablePath(selected)} now`);
    setText(byId("active-definition"), `with a heartbeat in the last ${formatDuration(sessionTimeoutMs)}`);
    byId("filter").hidden = selected === null;
    setText(byId("filter-text"), `of ${formatPeople(activeVisitors)} on the site.`);
  };

  /** @param {import("./model.js").Model} model @param {string | null} selected */
  const showPages = (model, selected) => {
    const shown = orders.pages(model.pages(limits.pages), (path) => model.countOn(path), limits.pages);
    /** @type {import("./count_list.js").Row[]} */
    const rows = shown.map(([path, count]) => pageRow(path, count));
    const remainder = model.remainder(shown);
    if (remainder) rows.push({ key: "other pages", label: "other pages", count: remainder, isOther: true });
    pages(rows, selected);
    byId("pages-none").hidden = rows.length > 0;
    setText(byId("pages-sum"), rows.length ? `${formatPeople(model.numbers.activeVisitors)} in all` : "");
  };

  /** @param {import("./model.js").Model} model @param {string | null} selected */
  const showTotals = (model, selected) => {
    const { totalPageViews, uniqueVisitors, uniqueVisitorsToday, trackingSince, pageStats, totalPaths } = model.numbers;
    setText(byId("views"), formatNumber(totalPageViews));
    setText(byId("uniques"), formatNumber(uniqueVisitors));
    setText(byId("today"), formatNumber(uniqueVisitorsToday));
    setText(byId("since"), trackingSince ? `counted since ${formatDate(trackingSince)}` : "none so far");
    const viewsOf = new Map(pageStats.map(({ path, views }) => [path, views]));
    top(
      orders.top([...viewsOf].slice(0, limits.top), (path) => viewsOf.get(path), limits.top).map(([path, views]) =>
        path === "__other__" ? { ...pageRow(path, views), label: "other pages", isOther: true } : pageRow(path, views),
      ),
      selected,
    );
    setText(byId("top-sum"), `views, of ${formatNumber(totalPaths)} ${totalPaths === 1 ? "page" : "pages"}`);
  };

  /** @param {import("./model.js").Model} model */
  const showCountries = (model) => {
    const all = model.countries();
    const counts = new Map(all.flatMap(([code, count]) => (code === null ? [] : [[code, count]])));
    const known = orders.countries([...counts].slice(0, limits.countries), (code) => counts.get(code) ?? 0, limits.countries);
    const rows = known.map(([code, count]) => ({ key: code, label: countryName(code), flag: flagEmoji(code), count }));
    const unknown = all.find(([code]) => code === null)?.[1] ?? 0;
    const listed = rows.reduce((sum, row) => sum + row.count, unknown);
    const remainder = all.reduce((sum, [, count]) => sum + count, 0) - listed;
    const isEmpty = model.numbers.activeVisitors === 0;
    const places = isEmpty ? [] : model.numbers.visitorLocations;
    // Hide the map when it is empty, and the list when all it says is "unknown".
    const isUnknown = isEmpty || (!known.length && !places.length);
    byId("map").hidden = !places.length;
    byId("countries").hidden = isUnknown;
    byId("countries-unknown").hidden = !isUnknown || isEmpty;
    byId("countries-none").hidden = !isEmpty;
    byId("places").toggleAttribute("data-short", isUnknown);
    countries([
      ...rows,
      ...(remainder ? [{ key: "other", label: "other countries", count: remainder, isOther: true }] : []),
      ...(unknown ? [{ key: "unknown", label: "unknown", flag: "?", count: unknown, isOther: true }] : []),
    ]);
    map(places);
  };

  const render = (/** @type {import("./model.js").Model} */ model, /** @type {string | null} */ selected) => {
    again = () => render(model, selected);
    showActive(model, selected);
    showPages(model, selected);
    showTotals(model, selected);
    showCountries(model);
  };
  return render;
}

/** @param {string} path @param {number} count */
function pageRow(path, count) {
  return { key: path, label: readablePath(path), title: path, count };
}
