/** What the map says of a dot or a country, beside it. */

import { element, setText } from "./dom.js";

const GAP = 6;

/** How many, and where. @typedef {[people: string, where: string]} Text */

/**
 * @param {HTMLElement} map
 * @returns {{show: (text: Text, box: {left: number, right: number, top: number, bottom: number}) => void, hide: () => void}}
 *   `show` puts a text above that box of the window, or below it where there is no room
 */
export function createMapLabel(map) {
  const people = element("strong");
  const where = element("bdi");
  const label = element("p", "map-label", people, where);
  label.hidden = true;
  label.ariaHidden = "true"; // a screen reader reads the name of the mark itself
  map.append(label);
  return {
    show: (text, { left, right, top, bottom }) => {
      setText(people, text[0]);
      setText(where, text[1]);
      label.hidden = false;
      const around = map.getBoundingClientRect();
      const { offsetWidth: width, offsetHeight: height } = label;
      const x = (left + right) / 2 - around.left - width / 2;
      label.style.left = `${Math.max(0, Math.min(x, around.width - width))}px`;
      const isRoom = top - height - GAP >= 0;
      label.style.top = `${(isRoom ? top - height - GAP : bottom + GAP) - around.top}px`;
    },
    hide: () => {
      label.hidden = true;
    },
  };
}
