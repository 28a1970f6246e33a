/** Arrivals, moves and departures, newest first; it stands still when asked to. */

import { byId, element, mayMove, setText } from "./dom.js";
import { country, flag, number, readable, timeWithSeconds } from "./format.js";

const LONGEST = 40;

/** @typedef {import("./model.js").Happening} Happening */

/**
 * Makes the feed.
 *
 * @returns {{replace: (happenings: Happening[]) => void, add: (happenings: Happening[]) => void, filter: (path: string | null) => void}}
 */
export function feed() {
  const list = byId("feed");
  const none = byId("feed-none");
  const pause = byId("pause");
  /** Newest last. @type {Happening[]} */
  let known = [];
  /** What came while it stood still. */
  let waiting = 0;
  let isPaused = false;
  /** @type {string | null} */
  let only = null;

  const chosen = () =>
    known
      .slice(0, known.length - waiting)
      .filter(({ path, from }) => only === null || path === only || from === only)
      .slice(-LONGEST);

  const label = () => setText(pause, isPaused ? (waiting ? `Resume, ${number(waiting)} new` : "Resume") : "Pause");

  const showAll = () => {
    list.replaceChildren(...chosen().map(line).reverse());
    none.hidden = list.childElementCount > 0;
  };

  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.ariaPressed = String(isPaused);
    waiting = 0;
    label();
    if (!isPaused) showAll();
  });

  return {
    replace: (happenings) => {
      const isNews = happenings.length > 0 || !known.length;
      if (!isNews || isPaused) return; // what is shown happened all the same
      known = happenings;
      showAll();
    },
    add: (happenings) => {
      if (!happenings.length) return;
      known = [...known, ...happenings].slice(-10 * LONGEST);
      if (isPaused) {
        waiting = Math.min(known.length, waiting + happenings.length);
        return label();
      }
      const fresh = happenings.filter(({ path, from }) => only === null || path === only || from === only);
      for (const happening of fresh) {
        const item = line(happening);
        list.prepend(item);
        if (mayMove()) item.animate([{ opacity: 0, transform: "translateY(-0.5rem)" }, { opacity: 1, transform: "none" }], 300);
      }
      while (list.childElementCount > LONGEST) list.lastElementChild?.remove();
      none.hidden = list.childElementCount > 0;
    },
    filter: (path) => {
      only = path;
      showAll();
    },
  };
}

/** @param {Happening} happening */
function line({ type, path, at, from, country: code, reason }) {
  const where = element("bdi", "path", readable(path));
  const item = element("li", type, element("time", "", timeWithSeconds(at)));
  const text = element("span", "text");
  const what = element("span", "what", text); // beside the text, where no line break can take it
  if (type === "joined") text.append("came to ", where);
  else if (type === "moved") text.append("went from ", element("bdi", "path", readable(from ?? "")), " to ", where);
  else text.append(reason === "timeout" ? "timed out on " : "left ", where);
  if (code) {
    const sign = element("span", "sign", flag(code));
    sign.title = country(code);
    sign.ariaLabel = country(code);
    sign.setAttribute("role", "img");
    what.append(sign);
  }
  item.append(what);
  return item;
}
