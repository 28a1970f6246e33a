// A shop that changes its page without loading another, as many do.
import { PAGES } from "./shop.js";

const SVG = "http://www.w3.org/2000/svg";
const main = document.querySelector("main");
const basket = document.getElementById("basket");
let bought = 0;

/** An element with properties and children; strings become text. */
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

/** How many are looking at a page: presence.js fills it in. */
const count = (path) => {
  const number = element("b", { textContent: "–" });
  number.dataset.presenceCount = path;
  return number;
};

const SHAPES = {
  tea: ["M22 22h56v70a6 6 0 0 1-6 6H28a6 6 0 0 1-6-6z", "M18 10h64v14H18z"],
  cup: ["M18 34h56v34a22 22 0 0 1-22 22H40a22 22 0 0 1-22-22z", "M74 42h6a12 12 0 0 1 0 26h-8v-8h8a5 5 0 0 0 0-10h-6z"],
};

const picture = ({ kind, colour }) => {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 100 104");
  drawing.setAttribute("aria-hidden", "true");
  for (const d of SHAPES[kind]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    path.setAttribute("fill", colour);
    drawing.append(path);
  }
  return drawing;
};

const card = (path) => {
  const page = PAGES[path];
  const shown = page.kind ? [picture(page)] : [];
  const price = page.price ? [element("span", { className: "price" }, page.price)] : [];
  return element("li", { className: page.kind ? "" : "article" },
    element("a", { href: path }, ...shown, element("span", { className: "name" }, page.title)),
    ...price,
    element("span", { className: "here" }, count(path), " looking"),
  );
};

const productsBut = (path) => Object.keys(PAGES).filter((other) => PAGES[other].kind && other !== path).slice(0, 4);

/** The stats page of this page, as any page can embed it. A new frame adds nothing to the history. */
const embed = (path) => {
  const query = new URLSearchParams({ embed: "", theme: "transparent-light", accent: "8a4b1f", page: path });
  return element("iframe", { src: `/sites/demo?${query}`, title: "Who is on this page", loading: "lazy" });
};

const show = () => {
  const path = location.pathname.replace(/\/+$/, "");
  const page = PAGES[path] ?? { title: "There is no such page", text: ["It may have been sold."], lists: ["/demo/tea", "/demo/cups"] };
  document.title = `${page.title} · A small shop`;
  for (const link of document.querySelectorAll("nav a")) {
    link.ariaCurrent = link.pathname === path ? "page" : null;
  }
  const buy = element("button", { type: "button" }, "Add to basket");
  buy.addEventListener("click", () => (basket.textContent = String(++bought)));
  const offer = page.price ? [element("p", { className: "offer" }, element("span", { className: "price" }, page.price), buy)] : [];
  main.replaceChildren(
    element("div", { className: page.kind ? "product" : "" }, ...(page.kind ? [picture(page)] : []),
      element("div", {},
        element("h1", {}, page.title),
        element("p", { className: "here" }, count(path), " looking at this page right now"),
        ...page.text.map((text) => element("p", {}, text)),
        ...offer,
      ),
    ),
    ...(page.kind ? [element("h2", {}, "More from the shop")] : []),
    element("ul", { className: "cards" }, ...(page.lists ?? productsBut(path)).map(card)),
  );
  document.getElementById("embed").replaceChildren(embed(path));
};

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/demo']");
  if (!link || "loads" in link.dataset || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  if (link.pathname === location.pathname) return;
  history.pushState(null, "", link.href); // which presence.js notices
  show();
  scrollTo(0, 0);
});
addEventListener("popstate", show);
show();
