/** A list of named counts whose rows move to their new place, and show what has changed. */

import { element, mayMove, setText } from "./dom.js";
import { number } from "./format.js";

const MOVE_MS = 350;
const MARK_MS = 2500;

/**
 * One row. `rest`: it stands for all that are not listed.
 *
 * @typedef {{key: string, label: string, count: number, sign?: string, title?: string, rest?: boolean}} Row
 */

/**
 * Makes a list show rows.
 *
 * @param {HTMLElement} list
 * @param {{onPick?: (key: string) => void, marks?: boolean}} options `onPick`: rows are buttons;
 *   `marks`: a change of a count is marked for a while
 * @returns {(rows: Row[], picked?: string | null) => void}
 */
export function rowList(list, { onPick, marks = false }) {
  /** @type {Map<string, RowView>} */
  const views = new Map();
  let isFirst = true;

  return (rows, picked = null) => {
    const before = mayMove() && !isFirst ? places(views) : null;
    const focused = document.activeElement;
    const place = [...list.children].findIndex((item) => item.contains(focused));
    const most = Math.max(1, ...rows.map((row) => (row.rest ? 0 : row.count)));
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, view] of views) {
      if (!keys.has(key)) {
        view.item.remove();
        views.delete(key);
      }
    }
    let at = list.firstElementChild;
    for (const row of rows) {
      let view = views.get(row.key);
      if (!view) {
        view = new RowView(row, row.rest ? undefined : onPick);
        views.set(row.key, view);
        if (marks && !isFirst) view.mark(row.count);
      } else if (marks) {
        view.mark(row.count - view.count);
      }
      view.show(row, most, picked);
      if (at === view.item) at = at.nextElementSibling;
      else list.insertBefore(view.item, at);
    }
    if (place >= 0 && !list.contains(document.activeElement)) {
      // A row that is moved loses the focus; of one that is gone the next one takes it.
      const heir = list.contains(focused)
        ? focused
        : list.children[Math.min(place, list.children.length - 1)]?.querySelector("button");
      if (heir instanceof HTMLElement) heir.focus();
    }
    if (before) glide(views, before);
    isFirst = false;
  };
}

class RowView {
  count = 0;
  #timer = 0;
  #label = element("bdi", "label");
  #sign = element("span", "sign");
  #mark = element("span", "mark");
  #number = element("span", "count");
  #body;

  /** @param {Row} row @param {((key: string) => void) | undefined} onPick */
  constructor(row, onPick) {
    this.#mark.setAttribute("aria-hidden", "true");
    this.#sign.setAttribute("aria-hidden", "true");
    this.#body = element(onPick ? "button" : "div", "row", this.#sign, this.#label, this.#mark, this.#number);
    if (onPick) this.#body.addEventListener("click", () => onPick(row.key));
    this.item = element("li", row.rest ? "rest" : "", this.#body);
  }

  /** @param {Row} row @param {number} most @param {string | null} picked */
  show(row, most, picked) {
    this.count = row.count;
    setText(this.#sign, row.sign ?? "");
    setText(this.#label, row.label);
    setText(this.#number, number(row.count));
    if (row.title) this.#label.title = row.title;
    this.#body.style.setProperty("--share", String(row.rest ? 0 : row.count / most));
    if (this.#body instanceof HTMLButtonElement) {
      this.#body.type = "button";
      this.#body.ariaPressed = String(row.key === picked);
    }
  }

  /** Marks a change of the count for a while. @param {number} step */
  mark(step) {
    if (!step) return;
    clearTimeout(this.#timer);
    setText(this.#mark, step > 0 ? `+${number(step)}` : `−${number(-step)}`);
    this.item.dataset.change = step > 0 ? "up" : "down";
    this.#timer = setTimeout(() => {
      setText(this.#mark, "");
      delete this.item.dataset.change;
    }, MARK_MS);
  }
}

/** @param {Map<string, RowView>} views */
function places(views) {
  return new Map([...views].map(([key, { item }]) => [key, item.getBoundingClientRect().top]));
}

/**
 * First, last, invert, play: rows are at their new place already, and are seen to come from the old.
 *
 * @param {Map<string, RowView>} views
 * @param {Map<string, number>} before
 */
function glide(views, before) {
  const after = places(views);
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
