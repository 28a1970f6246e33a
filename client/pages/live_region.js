/** What a screen reader is told: politely, and not more often than one can listen. */

import { setText } from "./dom.js";

const MIN_GAP_MS = 20_000;

/**
 * @param {HTMLElement} region
 * @returns {(text: string) => void} says the newest of what it is given, at most once in 20 s
 */
export function createLiveRegion(region) {
  let pending = "";
  let isIdle = true;

  const next = () => {
    isIdle = pending === region.textContent;
    if (isIdle) return;
    setText(region, pending);
    setTimeout(next, MIN_GAP_MS);
  };
  return (text) => {
    pending = text;
    if (isIdle) next();
  };
}
