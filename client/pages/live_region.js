/** What a screen reader is told: politely, and not more often than one can listen. */

import { setText } from "./dom.js";

const PAUSE_MS = 20_000;

/**
 * @param {HTMLElement} region
 * @returns {(text: string) => void} says the newest of what it is given, at most once in 20 s
 */
export function announcer(region) {
  let waiting = "";
  let isQuiet = true;

  const next = () => {
    isQuiet = waiting === region.textContent;
    if (isQuiet) return;
    setText(region, waiting);
    setTimeout(next, PAUSE_MS);
  };
  return (text) => {
    waiting = text;
    if (isQuiet) next();
  };
}
