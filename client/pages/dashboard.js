/** The numbers of the page: who is here, on which pages, from where, and what was viewed. */

import { byId, mayMove, setText } from "./dom.js";
import { worldMap } from "./world_map.js";
import { rowList } from "./count_list.js";
import { country, date, duration, flag, number, people, readable } from "./format.js";

/** How many rows each list has, by the mode of the page. */
const LENGTHS = {
  page: { pages: 12, top: 10, countries: 6 },
  wall: { pages: 7, top: 0, countries: 6 },
  embed: { pages: 5, top: 0, countries: 0 },
};

/**
 * @param {(path: string) => void} onPick a page was chosen
 * @returns {(model: import("./model.js").Model, picked: string | null) => void} shows a model
 */
export function board(onPick) {
  const mode = /** @type {keyof typeof LENGTHS} */ (document.documentElement.dataset.mode ?? "page");
  const lengths = LENGTHS[mode] ?? LENGTHS.page;
  const pages = rowList(byId("pages"), { onPick, marks: true });
  const top = rowList(byId("top"), { onPick });
  const countries = rowList(byId("countries"), { marks: true });
  const map = worldMap(byId("dots"), byId("map"));
  const now = byId("now");

  /** @param {import("./model.js").Model} model @param {string | null} picked */
  const showNow = (model, picked) => {
    const { activeVisitors, sessionTimeoutMs } = model.numbers;
    const count = picked === null ? activeVisitors : model.on(picked);
    const text = number(count);
    if (now.textContent !== text && now.textContent !== "–" && mayMove()) {
      now.animate([{ color: "var(--accent)" }, {}], 1200);
    }
    setText(now, text);
    now.style.setProperty("--digits", String(text.length));
    const noun = count === 1 ? "person" : "people";
    setText(byId("now-label"), picked === null ? `${noun} here now` : `${noun} on ${readable(picked)} now`);
    setText(byId("definition"), `with a heartbeat in the last ${duration(sessionTimeoutMs)}`);
    byId("filter").hidden = picked === null;
    setText(byId("filter-text"), `of ${people(activeVisitors)} on the site.`);
  };

  /** @param {import("./model.js").Model} model @param {string | null} picked */
  const showPages = (model, picked) => {
    /** @type {import("./count_list.js").Row[]} */
    const rows = model.pages(lengths.pages).map(([path, count]) => pageRow(path, count));
    const rest = model.rest(lengths.pages);
    if (rest) rows.push({ key: "other pages", label: "other pages", count: rest, rest: true });
    pages(rows, picked);
    byId("pages-none").hidden = rows.length > 0;
    setText(byId("pages-sum"), rows.length ? `${people(model.numbers.activeVisitors)} in all` : "");
  };

  /** @param {import("./model.js").Model} model @param {string | null} picked */
  const showPast = (model, picked) => {
    const { totalPageViews, uniqueVisitors, uniqueVisitorsToday, trackingSince, pageStats, totalPaths } = model.numbers;
    setText(byId("views"), number(totalPageViews));
    setText(byId("uniques"), number(uniqueVisitors));
    setText(byId("today"), number(uniqueVisitorsToday));
    setText(byId("since"), trackingSince ? `counted since ${date(trackingSince)}` : "none so far");
    top(
      pageStats.slice(0, lengths.top).map(({ path, views }) =>
        path === "__other__" ? { ...pageRow(path, views), label: "other pages", rest: true } : pageRow(path, views),
      ),
      picked,
    );
    setText(byId("top-sum"), `views, of ${number(totalPaths)} ${totalPaths === 1 ? "page" : "pages"}`);
  };

  /** @param {import("./model.js").Model} model */
  const showPlaces = (model) => {
    const all = model.countries();
    const known = all.filter(([code]) => code !== null).slice(0, lengths.countries);
    const rows = known.map(([code, count]) => ({
      key: String(code),
      label: country(String(code)),
      sign: flag(String(code)),
      count,
    }));
    const unknown = all.find(([code]) => code === null)?.[1] ?? 0;
    const listed = rows.reduce((sum, row) => sum + row.count, unknown);
    const rest = all.reduce((sum, [, count]) => sum + count, 0) - listed;
    const isNobody = model.numbers.activeVisitors === 0;
    const places = isNobody ? [] : model.numbers.visitorLocations;
    // An empty map, or "unknown" with everybody in it, would say nothing at great length.
    const isUnknown = isNobody || (!known.length && !places.length);
    byId("map").hidden = !places.length;
    byId("countries").hidden = isUnknown;
    byId("nowhere").hidden = !isUnknown || isNobody;
    byId("nobody").hidden = !isNobody;
    byId("places").toggleAttribute("data-short", isUnknown);
    countries([
      ...rows,
      ...(rest ? [{ key: "other", label: "other countries", count: rest, rest: true }] : []),
      ...(unknown ? [{ key: "unknown", label: "unknown", sign: "?", count: unknown, rest: true }] : []),
    ]);
    map(places);
  };

  return (model, picked) => {
    showNow(model, picked);
    showPages(model, picked);
    showPast(model, picked);
    showPlaces(model);
  };
}

/** @param {string} path @param {number} count */
function pageRow(path, count) {
  return { key: path, label: readable(path), title: path, count };
}
