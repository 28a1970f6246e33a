/** Elements that show a live number: `<b data-presence-count></b>`. */

import type { LiveStore } from "./live_store.js";

const SELECTOR = "[data-presence-count]";

/**
 * Renders the counts into all such elements, now and on every change: the site's count, or that of
 * the page in `data-presence-count="/path"`. Sets `data-presence-state` to `live`, or to `lost` while
 * disconnected.
 */
export const renderCounts = (store: LiveStore): void =>
  store.add(SELECTOR, () => {
    const elements = document.querySelectorAll<HTMLElement>(SELECTOR);
    if (!elements[0]) store.remove(SELECTOR);
    for (const element of elements) {
      const count = store.on(element.dataset.presenceCount);
      if (count == null) continue;
      if (element.textContent != `${count}`) element.textContent = `${count}`;
      element.dataset.presenceState = store.isConnected ? "live" : "lost";
    }
  });
