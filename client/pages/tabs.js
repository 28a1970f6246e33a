/** Tabs, of which one panel is seen: the arrow keys go from one to the next, as readers expect of tabs. */

/**
 * @param {HTMLElement} list has the buttons, each with the id of its panel in `aria-controls`
 * @returns {{show: (panel: string) => void}} `show` selects the tab of a panel
 */
export function createTabs(list) {
  const tabs = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[role=tab]")]);
  const panelOf = /** @param {HTMLElement} tab */ (tab) => /** @type {HTMLElement} */ (document.getElementById(tab.getAttribute("aria-controls") ?? ""));

  /** @param {HTMLElement} selected */
  const select = (selected) => {
    for (const tab of tabs) {
      tab.ariaSelected = String(tab === selected);
      tab.tabIndex = tab === selected ? 0 : -1;
      panelOf(tab).hidden = tab !== selected;
    }
  };
  /** @type {Record<string, (n: number) => number>} */
  const steps = { ArrowLeft: (n) => n - 1, ArrowRight: (n) => n + 1, Home: () => 0, End: () => -1 };
  list.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs.at(step(tabs.findIndex((tab) => tab.ariaSelected === "true")) % tabs.length);
    if (!next) return;
    select(next);
    next.focus();
  });
  for (const tab of tabs) tab.addEventListener("click", () => select(tab));
  return { show: (panel) => tabs.filter((tab) => panelOf(tab).id === panel).forEach(select) };
}
