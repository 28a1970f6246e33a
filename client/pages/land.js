/** The countries of the map, shaded by how many people are there. */

/** @typedef {{countries: Map<string, number>, selected: string | null}} Shading */

/**
 * @param {Element} group into which the shapes come when they are first wanted
 * @param {() => void} onLoad
 */
export function createLand(group, onLoad) {
  /** @type {Map<string, SVGElement>} */
  const shapes = new Map();
  let isLoading = false;

  const load = async () => {
    if (isLoading || shapes.size) return;
    isLoading = true;
    try {
      const response = await fetch(new URL("world.svg", import.meta.url));
      const { documentElement } = new DOMParser().parseFromString(await response.text(), "image/svg+xml");
      for (const path of /** @type {NodeListOf<SVGElement>} */ (documentElement.querySelectorAll("path"))) {
        shapes.set(path.dataset.country ?? "", path);
      }
      group.append(...documentElement.childNodes);
      onLoad();
    } catch {
      // offline: there are dots without land, until the map is drawn the next time
    }
    isLoading = false;
  };

  /**
   * Shades them; the one with most people has the strongest colour.
   *
   * @param {Shading} shading
   * @returns {[shape: SVGElement, code: string, count: number][]} those with people, as they are given
   */
  return ({ countries, selected }) => {
    load();
    const most = Math.log1p(Math.max(1, ...countries.values()));
    for (const [code, shape] of shapes) {
      const count = countries.get(code);
      const share = count ? (Math.log1p(count) / most).toFixed(2) : "";
      if (shape.style.getPropertyValue("--share") !== share) shape.style.setProperty("--share", share);
      shape.toggleAttribute("data-people", !!count);
      shape.toggleAttribute("data-selected", code === selected);
    }
    return [...countries].flatMap(([code, count]) => {
      const shape = shapes.get(code);
      return shape && count ? [/** @type {const} */ ([shape, code, count])] : [];
    });
  };
}
