/** A list of labelled counts that animates reordering and highlights changes. */

import { allowsMotion, element, setText } from "./dom.js";
import { formatNumber } from "./format.js";
import { setPath } from "./path_text.js";

const MOVE_MS = 350;
const DELTA_MS = 2500;

/**
 * One row. `isOther`: the sum of all rows that are not listed; with `isPlain` nothing more is known of it.
 *
 * @typedef {{key: string, label: string, count: number, flag?: string, isPath?: boolean, isOther?: boolean, isPlain?: boolean}} Row
 */

/**
 * Renders rows into a list.
 *
 * @param {HTMLElement} list
 * @param {{onSelect?: (key: string) => void, onOther?: () => void, showDeltas?: boolean}} options `onSelect` makes
 *   rows buttons, `onOther` those of the rest; `showDeltas` shows each change of a count for 2.5 s
 * @returns {(rows: Row[], selected?: string | null) => void}
 */
export function createCountList(list, { onSelect, onOther, showDeltas = false }) {
  /** @type {Map<string, CountRow>} */
  const views = new Map();
  let isFirst = true;

  return (rows, selected = null) => {
    const before = allowsMotion() && !isFirst ? positions(views) : null;
    const focused = document.activeElement;
    const focusedIndex = [...list.children].findIndex((item) => item.contains(focused));
    const max = Math.max(1, ...rows.map((row) => (row.isOther ? 0 : row.count)));
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, view] of views) {
      if (!keys.has(key)) {
        view.item.remove();
        views.delete(key);
      }
    }
    let next = list.firstElementChild;
    for (const row of rows) {
      let view = views.get(row.key);
      if (!view) {
        view = new CountRow(row, row.isPlain ? undefined : row.isOther ? onOther : onSelect);
        views.set(row.key, view);
        if (showDeltas && !isFirst) view.showDelta(row.count);
      } else if (showDeltas) {
        view.showDelta(row.count - view.count);
      }
      view.show(row, max, selected);
      if (next === view.item) next = next.nextElementSibling;
      else list.insertBefore(view.item, next);
    }
    if (focusedIndex >= 0 && !list.contains(document.activeElement)) {
      // Moving an element drops its focus. If the row is gone, focus the one in its place.
      const nextFocus = list.contains(focused)
        ? focused
        : list.children[Math.min(focusedIndex, list.children.length - 1)]?.querySelector("button");
      if (nextFocus instanceof HTMLElement) nextFocus.focus();
    }
    if (before) animateMoves(views, before);
    isFirst = false;
  };
}

class CountRow {
  count = 0;
  #timer = 0;
  #label = element("bdi", "label");
  #flag = element("span", "flag");
  #delta = element("span", "delta");
  #number = element("span", "count");
  #body;

  /** @param {Row} row @param {((key: string) => void) | undefined} onSelect */
  constructor(row, onSelect) {
    this.#delta.setAttribute("aria-hidden", "true");
    this.#flag.setAttribute("aria-hidden", "true");
    this.#body = element(onSelect ? "button" : "div", "row", this.#flag, this.#label, this.#delta, this.#number);
    if (onSelect) this.#body.addEventListener("click", () => onSelect(row.key));
    if (row.isOther) this.#body.ariaHasPopup = onSelect ? "dialog" : null;
    this.item = element("li", row.isOther ? "other" : "", this.#body);
  }

  /** @param {Row} row @param {number} max @param {string | null} selected */
  show(row, max, selected) {
    this.count = row.count;
    setText(this.#flag, row.flag ?? "");
    if (row.isPath) setPath(this.#label, row.label);
    else setText(this.#label, row.label);
    setText(this.#number, formatNumber(row.count));
    this.#body.style.setProperty("--share", String(row.isOther ? 0 : row.count / max));
    if (this.#body instanceof HTMLButtonElement) {
      this.#body.type = "button";
      if (!row.isOther) this.#body.ariaPressed = String(row.key === selected);
    }
  }

  /** Shows a change of the count for 2.5 s. @param {number} step */
  showDelta(step) {
    if (!step) return;
    clearTimeout(this.#timer);
    setText(this.#delta, step > 0 ? `+${formatNumber(step)}` : `−${formatNumber(-step)}`);
    this.item.dataset.change = step > 0 ? "up" : "down";
    this.#timer = setTimeout(() => {
      setText(this.#delta, "");
      delete this.item.dataset.change;
    }, DELTA_MS);
  }
}

/** @param {Map<string, CountRow>} views */
function positions(views) {
  return new Map([...views].map(([key, { item }]) => [key, item.getBoundingClientRect().top]));
}

/**
 * FLIP animation: rows already are in their new position and slide in from the old one.
 *
 * @param {Map<string, CountRow>} views
 * @param {Map<string, number>} before
 */
function animateMoves(views, before) {
  const after = positions(views);
  for (const [key, { item }] of views) {
    const was = before.get(key);
    const is = after.get(key) ?? 0;
    if (was === undefined) item.animate([{ opacity: 0 }, { opacity: 1 }], MOVE_MS);
    else if (was !== is) {
      item.animate([{ transform: `translateY(${was - is}px)` }, { transform: "none" }], {
        duration: MOVE_MS,
        easing: "ease-out",
      });
    }
  }
}
