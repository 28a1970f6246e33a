/** Paths that keep their end: where there is no room, the beginning is shortened, and the whole is told. */

import { element, setText } from "./dom.js";

const MARGIN = 8;

/**
 * Fills an element with a path, its last segment apart, so that the beginning can give way to it.
 *
 * @param {Element} node
 * @param {string} text
 */
export function setPath(node, text) {
  if (node.textContent === text) return;
  const at = Math.max(0, text.lastIndexOf("/", text.length - 2));
  node.classList.add("path-text");
  node.replaceChildren(...(at ? [element("span", "prefix", text.slice(0, at))] : []), element("span", "end", text.slice(at)));
}

/** Tells the whole of a shortened path when it is pointed at, focused or touched. */
export function tellWholePaths() {
  const tip = element("div", "whole-path");
  tip.popover = "manual"; // above everything, a panel too
  tip.ariaHidden = "true"; // a screen reader reads the whole path anyway
  document.body.append(tip);

  /** Whose whole is shown. @type {Element | null} */
  let current = null;

  const hide = () => {
    current = null;
    if (tip.matches(":popover-open")) tip.hidePopover();
  };
  const position = () => {
    if (!current?.isConnected) return hide();
    const { left, bottom, top } = current.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = tip;
    tip.style.left = `${Math.max(MARGIN, Math.min(left, innerWidth - width - MARGIN))}px`;
    tip.style.top = `${bottom + height + MARGIN < innerHeight ? bottom + MARGIN : top - height - MARGIN}px`;
  };
  /** @param {Event} event */
  const show = ({ target, type }) => {
    if (!(target instanceof Element)) return;
    const path = target.closest(".path-text") ?? target.closest("button")?.querySelector(".path-text") ?? null;
    const isShortened = path && [...path.children].some((part) => part.scrollWidth > part.clientWidth);
    if (!isShortened) return type === "focusin" ? undefined : hide();
    if (path === current) return;
    hide();
    current = path;
    setText(tip, path.textContent ?? "");
    tip.showPopover();
    position();
  };
  for (const type of ["pointerover", "focusin", "click"]) document.addEventListener(type, show); // click: a tap
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", () => current && position(), { capture: true, passive: true });
  document.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
}
