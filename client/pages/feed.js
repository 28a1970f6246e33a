/** The activity feed: arrivals, moves and departures, newest first; can be paused. */

import { allowsMotion, byId, element, setText } from "./dom.js";
import { followed, NONE } from "./filters.js";
import { countryName, formatTimeWithSeconds, readablePath } from "./format.js";
import { setPath } from "./path_text.js";
import { say } from "./messages.js";

const MAX_ITEMS = 40;

/** @typedef {import("./model.js").SessionEvent} SessionEvent */

/**
 * Binds the feed of the page.
 *
 * @returns {{replace: (events: SessionEvent[]) => void, add: (events: SessionEvent[]) => void, filter: (filters: import("./filters.js").Filters) => void}}
 */
export function createFeed() {
  const list = byId("feed");
  const none = byId("feed-none");
  const pause = byId("pause");
  /** Newest last. @type {SessionEvent[]} */
  let log = [];
  /** How many arrived while paused. */
  let pendingCount = 0;
  let isPaused = false;
  /** @type {import("./filters.js").Filters} */
  let filters = NONE;

  /** @param {SessionEvent} event */
  const matches = ({ path, from, country }) =>
    (filters.page === null || path === filters.page || from === filters.page) &&
    (filters.country === null || country === filters.country);

  const visibleEvents = () =>
    log
      .slice(0, log.length - pendingCount)
      .filter(matches)
      .slice(-MAX_ITEMS);

  const updateButton = () => setText(pause, isPaused ? (pendingCount ? say("resumeNew", { n: pendingCount }) : say("resume")) : say("pause"));

  const render = () => {
    list.replaceChildren(...visibleEvents().map(createItem).reverse());
    none.hidden = list.childElementCount > 0;
  };

  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.ariaPressed = String(isPaused);
    pendingCount = 0;
    updateButton();
    if (!isPaused) render();
  });

  return {
    replace: (events) => {
      const hasNews = events.length > 0 || !log.length;
      if (!hasNews || isPaused) return; // keep what is shown: it did happen
      log = events;
      render();
    },
    add: (events) => {
      if (!events.length) return;
      log = [...log, ...events].slice(-10 * MAX_ITEMS);
      if (isPaused) {
        pendingCount = Math.min(log.length, pendingCount + events.length);
        return updateButton();
      }
      for (const event of events.filter(matches)) {
        const item = createItem(event);
        list.prepend(item);
        if (allowsMotion()) item.animate([{ opacity: 0, transform: "translateY(-0.5rem)" }, { opacity: 1, transform: "none" }], 300);
      }
      while (list.childElementCount > MAX_ITEMS) list.lastElementChild?.remove();
      none.hidden = list.childElementCount > 0;
    },
    filter: (next) => {
      filters = followed(next, "page", "country");
      render();
    },
  };
}

/** @param {SessionEvent} event */
function createItem({ type, path, at, from, country: code, reason }) {
  const item = element("li", type, element("time", "", formatTimeWithSeconds(at)));
  const text = element("span", "text");
  const what = element("span", "what", text); // a flag beside the text stays on the first line
  if (type === "joined") text.append(phrase(say("came"), path));
  else if (type === "moved") text.append(phrase(say("wentFrom"), from ?? ""), " ", phrase(say("wentTo"), path));
  else text.append(phrase(say(reason === "timeout" ? "timedOut" : "left"), path));
  if (code) {
    const flag = element("span", "flag", code);
    flag.title = countryName(code);
    flag.ariaLabel = countryName(code);
    flag.setAttribute("role", "img");
    what.append(flag);
  }
  item.append(what);
  return item;
}

/** Words with a {path} among them, which stay on one line. @param {string} words @param {string} path */
function phrase(words, path) {
  const where = element("bdi", "path");
  setPath(where, readablePath(path));
  const [before, after] = words.split("{path}");
  return element("span", "phrase", before, where, after);
}
