/** The panel with all pages: search, grouping, and how many are on each; loaded when it is first opened. */

import { element, setText } from "./dom.js";
import { formatNumber, formatTimeWithSeconds, readablePath } from "./format.js";

const MAX_ROWS = "1000"; // the most that the service lists
const CHUNK = 100; // rows made in one task, so that a thousand keep nobody waiting

/** @typedef {{path: string, text: string, group: string, now: number, views: number | null}} Page */

/**
 * @param {import("./api.js").SiteApi} api
 * @param {(path: string) => void} onSelect
 * @returns {() => void} opens the panel; closed, the focus is where it was
 */
export function createBrowser(api, onSelect) {
  const search = document.createElement("input");
  search.type = "search";
  search.className = "field";
  search.autocomplete = "off";
  search.spellcheck = false;
  const isGrouped = document.createElement("input");
  isGrouped.type = "checkbox";
  const sum = element("output", "muted");
  const note = element("p", "muted");
  const close = element("button", "button small", "Close");
  close.setAttribute("type", "button");
  const table = document.createElement("table");
  const area = element("div", "area", table, note);
  area.tabIndex = 0;
  area.setAttribute("role", "group");
  area.ariaLabel = "List of pages";
  const title = element("h2", "", "All pages");
  title.id = "browse-title";
  const dialog = document.createElement("dialog");
  dialog.id = "browse";
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(
    element("div", "head", title, close),
    element("label", "search", "Search ", search),
    element("p", "line", element("label", "", isGrouped, " Group by section"), sum),
    area,
  );
  document.body.append(dialog);
  /** @type {Page[]} */
  let pages = [];
  let fill = 0; // of which filling is under way

  const render = async () => {
    const mine = ++fill;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = pages.filter(({ path, text }) => words.every((word) => text.toLowerCase().includes(word) || path.toLowerCase().includes(word)));
    setText(sum, `${formatNumber(found.length)} of ${formatNumber(pages.length)} pages`);
    table.replaceChildren(tableHead());
    area.scrollTop = 0;
    let made = 0;
    for (const [group, rows] of isGrouped.checked ? groupsOf(found) : [["", found]]) {
      const body = document.createElement("tbody");
      if (isGrouped.checked) body.append(groupRow(String(group), /** @type {Page[]} */ (rows)));
      table.append(body);
      for (const page of /** @type {Page[]} */ (rows)) {
        body.append(pageRow(page, choose));
        if (++made % CHUNK) continue;
        await new Promise((resolve) => setTimeout(resolve));
        if (mine !== fill) return;
      }
    }
  };

  /** @param {string} path */
  const choose = (path) => {
    dialog.close();
    onSelect(path);
  };

  const load = async () => {
    setText(sum, "Loading");
    const numbers = await api.fetchJson("stats", { limit: MAX_ROWS });
    if (!numbers) return setText(sum, "The service did not answer. Close this and try again.");
    pages = pagesOf(numbers);
    const listed = pages.reduce((total, { now }) => total + now, 0);
    const rest = numbers.activeVisitors - listed;
    setText(
      note,
      `As of ${formatTimeWithSeconds(numbers.asOf)}.` +
        (pages.some(({ views }) => views === null) ? ` Views are known of the ${formatNumber(numbers.pageStats.length)} most viewed pages.` : "") +
        (rest > 0 ? ` ${formatNumber(rest)} more are on pages that are not listed.` : ""),
    );
    render();
  };

  search.addEventListener("input", render);
  isGrouped.addEventListener("change", render);
  close.addEventListener("click", () => dialog.close());
  // A click beside the panel closes it: only what is outside of its box is the dialog itself.
  dialog.addEventListener("click", ({ target, clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    if (target === dialog && (x < left || x > right || y < top || y > bottom)) dialog.close();
  });
  return () => {
    if (dialog.open) return;
    search.value = "";
    pages = [];
    table.replaceChildren();
    dialog.showModal();
    search.focus();
    load();
  };
}

/** Most people first, then most views. @param {import("./model.js").Snapshot} numbers @returns {Page[]} */
function pagesOf({ activeByPath, pageStats }) {
  const now = new Map(activeByPath.map(({ path, count }) => [path, count]));
  const views = new Map(pageStats.map((page) => [page.path, page.views]));
  views.delete("__other__");
  return [...new Set([...now.keys(), ...views.keys()])]
    .map((path) => ({
      path,
      text: readablePath(path),
      group: readablePath(path.match(/^\/[^/]*/)?.[0] ?? path),
      now: now.get(path) ?? 0,
      views: views.get(path) ?? null,
    }))
    .sort((a, b) => b.now - a.now || (b.views ?? 0) - (a.views ?? 0) || (a.path < b.path ? -1 : 1));
}

/** By first segment, those with most people first. @param {Page[]} pages @returns {[string, Page[]][]} */
function groupsOf(pages) {
  return [...Map.groupBy(pages, ({ group }) => group)].sort(([, a], [, b]) => peopleOn(b) - peopleOn(a));
}

/** @param {Page[]} pages */
const peopleOn = (pages) => pages.reduce((sum, { now }) => sum + now, 0);

function tableHead() {
  const cells = ["Page", "Now", "Views"].map((text) => {
    const cell = element("th", "", text);
    cell.setAttribute("scope", "col");
    return cell;
  });
  return element("thead", "", element("tr", "", ...cells));
}

/** @param {string} group @param {Page[]} pages */
function groupRow(group, pages) {
  const head = element("th", "", element("bdi", "", group), ` · ${formatNumber(pages.length)} ${pages.length === 1 ? "page" : "pages"}`);
  head.setAttribute("scope", "rowgroup");
  return element("tr", "group", head, element("td", "", formatNumber(peopleOn(pages))), element("td"));
}

/** @param {Page} page @param {(path: string) => void} onChoose */
function pageRow({ path, text, now, views }, onChoose) {
  const button = element("button", "", element("bdi", "", text));
  button.setAttribute("type", "button");
  button.addEventListener("click", () => onChoose(path));
  const head = element("th", "", button);
  head.setAttribute("scope", "row");
  return element("tr", "", head, element("td", "", formatNumber(now)), element("td", "", views === null ? "–" : formatNumber(views)));
}
