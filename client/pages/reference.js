/** The reference: languages, copies, search, where one is, and sending what only reads. */

import { copyOnClick } from "./copy.js";
import { element, setText } from "./dom.js";

const SITE = "blog"; // as in the examples
const LONGEST = 20_000; // characters of an answer that are shown

const all = (/** @type {string} */ selector, /** @type {ParentNode} */ root = document) =>
  /** @type {HTMLElement[]} */ ([...root.querySelectorAll(selector)]);

// Languages: one choice for the whole page.

const tabs = all("[role=tab]");

/** @param {string} language */
function choose(language) {
  for (const tab of tabs) {
    const isChosen = tab.dataset.language === language;
    tab.ariaSelected = String(isChosen);
    tab.tabIndex = isChosen ? 0 : -1;
  }
  for (const panel of all("[role=tabpanel]")) panel.hidden = panel.dataset.language !== language;
}

for (const list of all("[role=tablist]")) {
  list.hidden = false;
  const own = all("[role=tab]", list);
  list.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    const at = own.findIndex((tab) => tab === document.activeElement);
    if (!step || at < 0) return;
    const next = own[(at + step + own.length) % own.length];
    choose(next.dataset.language ?? "");
    next.focus();
  });
}
for (const tab of tabs) {
  tab.addEventListener("click", () => {
    // What is above may be longer or shorter now: the tab stays under the pointer.
    const before = tab.getBoundingClientRect().top;
    choose(tab.dataset.language ?? "");
    scrollBy({ top: tab.getBoundingClientRect().top - before, behavior: "instant" });
  });
}
choose("curl");

for (const pre of all("[role=tabpanel] pre")) {
  const button = element("button", "button", "Copy");
  button.setAttribute("type", "button");
  const snippet = element("div", "snippet");
  pre.replaceWith(snippet);
  snippet.append(pre, button);
  copyOnClick(button, pre);
}

// Sending what only reads, to the site of one's choice.

const codes = all(".example code").map((code) => ({ code, text: code.textContent ?? "" }));
let site = SITE;

/** Where an example leads, below this page's own address. @param {HTMLElement} form */
const urlOf = (form) => new URL((form.dataset.url ?? "").replace(`/sites/${SITE}/`, `/sites/${site}/`), new URL("./", document.baseURI));

for (const form of all(".send")) {
  const operation = /** @type {HTMLElement} */ (form.closest(".operation"));
  const button = element("button", "button primary small", "Send");
  button.setAttribute("type", "button");
  const field = /** @type {HTMLInputElement} */ (element("input", "field"));
  field.value = site;
  field.ariaLabel = "Site";
  field.spellcheck = false;
  field.pattern = "[a-z0-9][a-z0-9.\\-]{0,62}";
  const result = element("div", "result");
  result.setAttribute("aria-live", "polite");
  if (form.dataset.url?.includes("/sites/")) form.append(field);
  form.append(button, result);
  form.hidden = false;
  field.addEventListener("input", () => {
    if (!field.validity.valid || !field.value) return;
    site = field.value;
    for (const other of all(".send .field")) if (other !== field) /** @type {HTMLInputElement} */ (other).value = site;
    for (const { code, text } of codes) setText(code, text.replaceAll(`/sites/${SITE}/`, `/sites/${site}/`));
  });
  field.addEventListener("keydown", ({ key }) => key === "Enter" && button.click());
  button.addEventListener("click", async () => {
    let line = "The service did not answer.";
    let text = "";
    try {
      const response = await fetch(urlOf(form), { credentials: "omit" });
      line = `${response.status} ${response.statusText}`.trim();
      text = await response.text();
      if (response.headers.get("Content-Type")?.includes("json")) text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // said by the line
    }
    const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)}\n…` : text;
    const pre = element("pre", "", element("code", "", shown));
    pre.tabIndex = 0;
    result.replaceChildren(element("h4", "", line), ...(text ? [pre] : []));
    for (const given of all(".given", operation)) given.hidden = true; // what one got stands in its place
  });
}

// Search, and where one is.

const links = all("nav a[href^='#']").map((link) => ({
  link,
  item: /** @type {HTMLElement} */ (link.closest("li")),
  target: document.getElementById(decodeURIComponent(link.getAttribute("href")?.slice(1) ?? "")),
}));
const sections = all(".operation, .schema");
const search = /** @type {HTMLInputElement | null} */ (document.getElementById("search"));
if (search) {
  search.hidden = false;
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const section of sections) {
      const text = (section.textContent ?? "").toLowerCase();
      section.hidden = !words.every((word) => text.includes(word));
    }
    for (const { item, target } of links) item.hidden = Boolean(target?.hidden);
    for (const list of all("nav ul")) {
      const isEmpty = all("li", list).every((item) => item.hidden);
      list.hidden = isEmpty;
      const title = list.previousElementSibling;
      if (title instanceof HTMLElement && title.tagName === "H4") title.hidden = isEmpty;
    }
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    search.focus();
  });
}

/** @type {Set<Element>} */
const visible = new Set();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) visible.add(target);
      else visible.delete(target);
    }
    const current = sections.find((section) => visible.has(section));
    for (const { link, target } of links) {
      if (target === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  },
  { rootMargin: "-10% 0px -60% 0px" },
);
for (const section of sections) observer.observe(section);
