/** The switcher of operators: all sites with how many are on each; loaded once the operator's token is known. */

import { closable, element, setText } from "./dom.js";
import { formatNumber, formatPeople } from "./format.js";
import { say } from "./panel_messages.js";

const MANY = 8; // from which on there is a search
const KEPT = ["theme", "accent", "lang"]; // of the address; filters are those of one site

/** @typedef {{site: string, activeVisitors: number | null}} Site null: nobody knows now */

/**
 * All sites, the fullest first.
 *
 * @param {import("./api.js").SiteApi} api
 * @param {string} token
 * @returns {Promise<Site[] | null | undefined>} null: the token is not the operator's; undefined: no answer
 */
export async function fetchSites(api, token) {
  /** @type {Site[]} */
  const sites = [];
  const url = new URL("v1/sites", api.root);
  try {
    for (;;) {
      const headers = { Authorization: `Bearer ${token}` };
      const response = await fetch(url, { headers, credentials: "omit", cache: "no-store" });
      if (response.status === 401 || response.status === 403) return null;
      if (!response.ok) return undefined;
      const page = await response.json();
      sites.push(...page.sites);
      if (page.nextCursor === null) break;
      url.searchParams.set("cursor", page.nextCursor);
    }
  } catch {
    return undefined;
  }
  return sites.sort((a, b) => (b.activeVisitors ?? -1) - (a.activeVisitors ?? -1) || (a.site < b.site ? -1 : 1));
}

/**
 * @param {import("./api.js").SiteApi} api
 * @param {() => void} onRefused the token is not the operator's any more
 * @returns {() => void} opens the switcher; closed, the focus is where it was
 */
export function createSwitcher(api, onRefused) {
  const search = document.createElement("input");
  search.type = "search";
  search.className = "field";
  search.autocomplete = "off";
  search.spellcheck = false;
  const searching = element("label", "search", `${say("search")} `, search);
  const close = element("button", "button small", say("close"));
  close.setAttribute("type", "button");
  const title = element("h2", "", say("sites"));
  title.id = "sites-title";
  const said = element("output", "muted");
  const list = element("ol", "rows area");
  const dialog = document.createElement("dialog");
  dialog.id = "sites";
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(element("div", "head", title, close), searching, said, list);
  document.body.append(dialog);
  /** @type {Site[]} */
  let sites = [];

  const links = () => /** @type {HTMLAnchorElement[]} */ ([...list.querySelectorAll("a")]);

  const render = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = sites.filter(({ site }) => words.every((word) => site.includes(word)));
    const most = Math.max(1, ...sites.map(({ activeVisitors }) => activeVisitors ?? 0));
    list.replaceChildren(...found.map((one) => row(one, most)));
    setText(said, found.length ? "" : say("noSuchSite"));
  };

  /** @param {Site} one @param {number} most */
  const row = ({ site, activeVisitors }, most) => {
    const link = document.createElement("a");
    link.className = "row";
    const query = [...new URLSearchParams(location.search)].filter(([name]) => KEPT.includes(name));
    link.href = `${site}${query.length ? `?${new URLSearchParams(query)}` : ""}`;
    link.style.setProperty("--share", String((activeVisitors ?? 0) / most));
    if (site === api.site) link.setAttribute("aria-current", "page");
    const count = element("span", "count", activeVisitors === null ? "–" : formatNumber(activeVisitors));
    if (activeVisitors !== null) count.title = formatPeople(activeVisitors);
    link.append(element("bdi", "label", site), count);
    return element("li", "", link);
  };

  const load = async () => {
    setText(said, say("loading"));
    const loaded = await fetchSites(api, api.operatorToken);
    if (loaded === null) {
      dialog.close();
      return onRefused();
    }
    if (!loaded) return setText(said, say("noAnswer"));
    sites = loaded;
    searching.hidden = sites.length < MANY;
    render();
    if (searching.hidden) links()[0]?.focus();
    else search.focus();
  };

  search.addEventListener("input", render);
  closable(dialog, close);
  dialog.addEventListener("keydown", (event) => {
    const all = links();
    const at = all.findIndex((link) => link === document.activeElement);
    if (event.key === "Enter" && event.target === search) return all[0]?.click();
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const next = event.key === "ArrowDown" ? at + 1 : at - 1;
    if (next < 0 && !searching.hidden) search.focus();
    else all[Math.max(0, next)]?.focus();
  });

  return () => {
    if (dialog.open) return;
    sites = [];
    list.replaceChildren();
    search.value = "";
    searching.hidden = true;
    dialog.showModal();
    load();
  };
}
