/** The panel for sharing: link, wall, frame, pill, badge and counter, each with a preview and Copy; loaded when it is first opened. */

import { copyOnClick } from "./copy.js";
import { byId, closable, element, setText } from "./dom.js";
import { createShareTokens } from "./share_tokens.js";
import { copyTexts } from "./messages.js";
import { say } from "./panel_messages.js";

/** By what the address says of them. */
const THEMES = /** @type {const} */ ({ "": "themeAuto", light: "themeLight", dark: "themeDark", transparent: "themeNone", "transparent-light": "themeNoneLight", "transparent-dark": "themeNoneDark" });
const SCHEMES = { transparent: "light dark", "transparent-light": "light", "transparent-dark": "dark" };

/** @typedef {{theme: string, accent: string, share: string}} Choice accent: six digits, or empty */

/**
 * @param {import("./api.js").SiteApi} api
 * @returns {(filters: import("./filters.js").Filters) => void} opens the panel for what the page is filtered by; closed, the focus is where it was
 */
export function createShare(api) {
  for (const name of ["share.css", "themes.css"]) {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL(name, import.meta.url).href;
    document.head.append(sheet);
  }
  const theme = document.createElement("select");
  theme.className = "field";
  theme.append(...Object.entries(THEMES).map(([value, text]) => new Option(say(text), value)));
  const accent = document.createElement("input");
  accent.className = "field";
  accent.placeholder = "0a7350";
  accent.spellcheck = false;
  accent.autocomplete = "off";
  accent.size = 8;
  const accentNote = element("p", "muted");
  const close = element("button", "button small", say("close"));
  close.setAttribute("type", "button");
  const title = element("h2", "", say("share"));
  title.id = "share-title";
  const list = element("div", "share-list");
  const dialog = document.createElement("dialog");
  dialog.id = "share";
  dialog.setAttribute("aria-labelledby", title.id);
  const tokens = createShareTokens(api, () => render());
  dialog.append(
    element("div", "head", title, close),
    tokens.node,
    element("div", "options", element("label", "", `${say("colours")} `, theme), element("label", "", `${say("accent")} `, accent)),
    accentNote,
    list,
  );
  document.body.append(dialog);
  /** @type {import("./filters.js").Filters} */
  let filters = { page: null, country: null, source: null };

  const parts = /** @type {const} */ (["link", "wall", "frame", "pill", "badge", "counter"]).map((kind) => createPart(kind));
  list.append(...parts.map(({ node }) => node));

  /** @returns {Choice} */
  const choice = () => {
    const [, digits] = /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(accent.value.trim()) ?? [];
    const isWrong = !digits && accent.value.trim() !== "";
    accent.ariaInvalid = String(isWrong);
    setText(accentNote, isWrong ? say("accentWrong") : "");
    return { theme: theme.value, accent: (digits ?? "").toLowerCase(), share: tokens.chosen() };
  };

  const render = async () => {
    const chosen = choice();
    const isOpen = !tokens.isPrivate() || chosen.share !== "";
    const colours = chosen.accent ? await accentColours(chosen.accent) : [];
    for (const { kind, show } of parts) {
      const isForAll = kind === "badge" || kind === "counter";
      show(isForAll ? !tokens.isPrivate() : isOpen, snippetOf(kind, api, filters, chosen), chosen.theme, colours, pathOf(api, filters));
    }
  };

  theme.addEventListener("change", render);
  accent.addEventListener("input", render);
  closable(dialog, close);
  return (next) => {
    filters = next;
    render();
    dialog.showModal();
    tokens.load();
  };
}

/** What each is called, its Copy, and what it is for. */
const TEXTS = /** @type {const} */ ({
  link: ["shareLink", "copyLink", "hintLink"],
  wall: ["shareWall", "copyWall", "hintWall"],
  frame: ["shareFrame", "copyFrame", "hintFrame"],
  pill: ["sharePill", "copyPill", "hintPill"],
  badge: ["shareBadge", "copyBadge", "hintBadge"],
  counter: ["shareCounter", "copyCounter", "hintCounter"],
});

/** @param {keyof typeof TEXTS} kind */
function createPart(kind) {
  const [title, copyText, hint] = TEXTS[kind];
  const code = document.createElement("code");
  const copy = element("button", "button", say("copy"));
  copy.setAttribute("type", "button");
  copy.ariaLabel = say(copyText);
  copyOnClick(copy, code, copyTexts());
  const source = document.createElement("pre");
  source.tabIndex = 0;
  source.append(code);
  const preview = element("div", `preview ${kind}`);
  preview.ariaHidden = "true"; // it says nothing that the page does not
  const snippet = element("div", "snippet", source, copy);
  const none = element("p", "muted");
  setText(none, kind === "badge" || kind === "counter" ? say("notForPrivate") : say("makeAbove"));
  const node = element("section", "", element("h3", "", say(title)), element("p", "muted", say(hint)), preview, snippet, none);
  /** @param {boolean} isOpen @param {string} text @param {string} theme @param {[string, string][]} colours @param {string} path */
  const show = (isOpen, text, theme, colours, path) => {
    preview.hidden = snippet.hidden = !isOpen;
    none.hidden = isOpen;
    setText(code, isOpen ? text : "");
    if (!isOpen) return;
    preview.dataset.theme = kind === "badge" || kind === "counter" ? "auto" : theme || "auto";
    preview.removeAttribute("style");
    if (kind !== "badge" && kind !== "counter") for (const [name, value] of colours) preview.style.setProperty(name, value);
    preview.replaceChildren(...pictureOf(kind, path));
  };
  return { kind, node, show };
}

/** What the preview is made of: what the page shows now. @param {keyof typeof TEXTS} kind @param {string} badge */
function pictureOf(kind, badge) {
  const number = byId("active").textContent ?? "";
  if (kind === "badge") {
    const image = document.createElement("img");
    image.src = badge;
    image.alt = "";
    return [image];
  }
  if (kind === "counter") return [element("p", "", `${say("counterHere")} `, element("b", "", number))];
  if (kind === "pill") {
    const dot = element("span", "status-dot");
    dot.style.background = "var(--accent)";
    return [dot, element("p", "", element("b", "", number), ` ${say("previewHere")}`)];
  }
  const bars = [...byId("pages").querySelectorAll(".row")].slice(0, kind === "frame" ? 3 : 5).map((row) => {
    const bar = element("i");
    bar.style.width = `${100 * Number(/** @type {HTMLElement} */ (row).style.getPropertyValue("--share"))}%`;
    return bar;
  });
  return [element("strong", "", number), element("div", "bars", ...bars)];
}

/** @param {import("./api.js").SiteApi} api @param {import("./filters.js").Filters} filters */
function pathOf(api, { page }) {
  return page === null ? api.address("badge.svg") : api.url("badge.svg", { path: page });
}

/**
 * @param {keyof typeof TEXTS} kind
 * @param {import("./api.js").SiteApi} api
 * @param {import("./filters.js").Filters} filters
 * @param {Choice} choice
 */
function snippetOf(kind, api, filters, { theme, accent, share }) {
  const { page, country, source } = filters;
  const lang = new URLSearchParams(location.search).get("lang"); // what is shared is in the reader's own, unless this page was asked for in another
  const query = new URLSearchParams({ ...(page !== null && { page }), ...(country !== null && { country }), ...(source !== null && { source }), ...(theme && { theme }), ...(accent && { accent }), ...(lang && { lang }) });
  /** @param {string} mode */
  const address = (mode) => {
    const asked = [mode, query.toString()].filter(Boolean).join("&");
    return new URL(`sites/${api.site}`, api.root).href + (asked && `?${asked}`) + (share && `#share=${share}`);
  };
  if (kind === "link") return address("");
  if (kind === "wall") return address("wall");
  if (kind === "badge") return `<img alt="${escaped(say("hereNow", { n: 2 }))}" src="${escaped(pathOf(api, filters))}">`;
  if (kind === "counter") return `${api.scriptTag}\n${say("counterHere")} <b data-presence-count${page === null ? "" : `="${escaped(page)}"`}></b>`;
  if (kind === "pill") return `<iframe src="${escaped(address("pill"))}" title="${escaped(say("frameTitle", { site: api.site }))}" width="270" height="46" style="border: 0; color-scheme: ${schemeOf(theme)}"></iframe>`;
  const scheme = theme in SCHEMES ? `; color-scheme: ${SCHEMES[/** @type {keyof typeof SCHEMES} */ (theme)]}` : "";
  return `<iframe src="${escaped(address("embed"))}" title="${escaped(say("frameTitle", { site: api.site }))}" width="360" height="420" style="border: 0${scheme}"></iframe>`;
}

/** The colour scheme of a frame that lets the page around it show through. @param {string} theme */
const schemeOf = (theme) => theme.replace("transparent-", "").replace(/^(transparent)?$/, "light dark");

/** As a value of an attribute between quotes. @param {string} text */
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");

/** The colours of an accent, as the service makes them of it. @param {string} digits @returns {Promise<[string, string][]>} */
async function accentColours(digits) {
  try {
    const answer = await fetch(new URL(`accent/${digits}.css`, import.meta.url));
    return [...(await answer.text()).matchAll(/(--[\w-]+):(light-dark\([^)]*\))/g)].map(([, name, value]) => [name, value]);
  } catch {
    return []; // offline: the preview keeps the usual colour
  }
}
