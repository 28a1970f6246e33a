/** Elements that show a live number with no code: `<b data-presence-count></b>`. */

import type { LiveStore } from "./live_store.js";

const SELECTOR = "[data-presence-count]";

/**
 * Writes the numbers into all elements there are, now and with every change of a number: the
 * site's, or with `data-presence-count="/path"` the page's. `data-presence-state` becomes `live`
 * or, while the connection is lost and the number an old one, `lost`.
 */
export const renderCounts = (store: LiveStore): void =>
  store.add(SELECTOR, () => {
    const elements = document.querySelectorAll<HTMLElement>(SELECTOR);
    if (elements.length == 0) store.remove(SELECTOR);
    for (const element of elements) {
      const path = element.dataset.presenceCount;
      const count = path ? store.on(path) : store.site?.activeVisitors;
      if (count == null) continue;
      if (element.textContent != `${count}`) element.textContent = `${count}`;
      element.dataset.presenceState = store.isConnected ? "live" : "lost";
    }
  });
