/** A polite ARIA live region, throttled so that screen readers are not flooded. */

import { setText } from "./dom.js";

const MIN_GAP_MS = 20_000;

/**
 * @param {HTMLElement} region
 * @returns {(text: string) => void} announces the latest text, at most every 20 s
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
