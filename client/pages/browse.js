/** The panel with all rows of a list: search, grouping, and how many are in each; loaded when it is first opened. */

import { createCatalogues } from "./catalogues.js";
import { closable, element, setText } from "./dom.js";
import { formatNumber } from "./format.js";
import { say } from "./panel_messages.js";

const CHUNK = 100; // rows made in one task, so that a thousand keep nobody waiting

/**
 * @typedef {import("./catalogues.js").Row} Row
 * @typedef {import("./catalogues.js").Listed} Listed
 */

/**
 * @param {import("./api.js").SiteApi} api
 * @param {(name: Listed, value: string) => void} onSelect
 * @returns {(name: Listed) => void} opens the panel with what one can filter by; closed, the focus is where it was
 */
export function createBrowser(api, onSelect) {
  const catalogues = createCatalogues(api);
  const search = document.createElement("input");
  search.type = "search";
  search.className = "field";
  search.autocomplete = "off";
  search.spellcheck = false;
  const isGrouped = document.createElement("input");
  isGrouped.type = "checkbox";
  const grouping = element("label", "", isGrouped, ` ${say("group")}`);
  const sum = element("output", "muted");
  const note = element("p", "muted");
  const close = element("button", "button small", say("close"));
  close.setAttribute("type", "button");
  const table = document.createElement("table");
  const area = element("div", "area", table, note);
  area.tabIndex = 0;
  area.setAttribute("role", "group");
  const title = element("h2");
  title.id = "browse-title";
  const dialog = document.createElement("dialog");
  dialog.id = "browse";
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(
    element("div", "head", title, close),
    element("label", "search", `${say("search")} `, search),
    element("p", "line", grouping, sum),
    area,
  );
  document.body.append(dialog);
  /** @type {Listed} */
  let name = "page";
  /** @type {Row[]} */
  let all = [];
  let fill = 0; // of which filling is under way

  const render = async () => {
    const mine = ++fill;
    const { columns, found: sumOf } = catalogues[name];
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter(({ words: known }) => words.every((word) => known.includes(word)));
    setText(sum, say(sumOf, { found: nameable(found), all: nameable(all) }));
    table.replaceChildren(tableHead(columns));
    area.scrollTop = 0;
    let made = 0;
    for (const [group, rows] of isGrouped.checked ? groupsOf(found) : [["", found]]) {
      const body = document.createElement("tbody");
      if (isGrouped.checked) body.append(groupRow(String(group), /** @type {Row[]} */ (rows), columns.length));
      table.append(body);
      for (const row of /** @type {Row[]} */ (rows)) {
        body.append(tableRow(row, choose));
        if (++made % CHUNK) continue;
        await new Promise((resolve) => setTimeout(resolve));
        if (mine !== fill) return;
      }
    }
  };

  /** @param {string} value */
  const choose = (value) => {
    dialog.close();
    onSelect(name, value);
  };

  const load = async () => {
    const asked = name;
    setText(sum, say("loading"));
    const loaded = await catalogues[asked].load();
    if (asked !== name) return;
    if (!loaded) return setText(sum, say("noAnswer"));
    all = loaded.rows;
    setText(note, loaded.note);
    render();
  };

  search.addEventListener("input", render);
  isGrouped.addEventListener("change", render);
  closable(dialog, close);
  return (next) => {
    if (dialog.open) return;
    name = next;
    const { hasGroups } = catalogues[name];
    setText(title, catalogues[name].title);
    area.ariaLabel = catalogues[name].list;
    grouping.hidden = !hasGroups;
    isGrouped.checked &&= hasGroups;
    search.value = "";
    all = [];
    table.replaceChildren();
    setText(note, "");
    dialog.showModal();
    search.focus();
    load();
  };
}

/** By group, those with most people first. @param {Row[]} rows @returns {[string, Row[]][]} */
function groupsOf(rows) {
  return [...Map.groupBy(rows, ({ group }) => group)].sort(([, a], [, b]) => peopleIn(b) - peopleIn(a));
}

/** How many there are, but for the unknown. @param {Row[]} rows */
const nameable = (rows) => rows.filter(({ value }) => value !== null).length;

/** @param {Row[]} rows */
const peopleIn = (rows) => rows.reduce((sum, { now }) => sum + now, 0);

/** @param {string[]} columns */
function tableHead(columns) {
  const cells = columns.map((text) => {
    const cell = element("th", "", text);
    cell.setAttribute("scope", "col");
    return cell;
  });
  return element("thead", "", element("tr", "", ...cells));
}

/** @param {string} group @param {Row[]} rows @param {number} columns */
function groupRow(group, rows, columns) {
  const head = element("th", "", element("bdi", "", group), ` · ${say("pageCount", { n: rows.length })}`);
  head.setAttribute("scope", "rowgroup");
  const rest = Array.from({ length: columns - 2 }, () => element("td"));
  return element("tr", "group", head, element("td", "", formatNumber(peopleIn(rows))), ...rest);
}

/** @param {Row} row @param {(value: string) => void} onChoose */
function tableRow({ value, text, flag, now, views }, onChoose) {
  const mark = element("span", "flag", flag ?? "");
  mark.ariaHidden = "true";
  const what = element(value === null ? "span" : "button", "", mark, element("bdi", "", text));
  if (value !== null) {
    what.setAttribute("type", "button");
    what.addEventListener("click", () => onChoose(value));
  }
  const head = element("th", "", what);
  head.setAttribute("scope", "row");
  const cells = views === undefined ? [now] : [now, views];
  return element("tr", "", head, ...cells.map((count) => element("td", "", count === null ? "–" : formatNumber(count))));
}
