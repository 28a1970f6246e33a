/** One of many marks is reached with Tab, and the others from there with the arrow keys. */

/** @type {Record<string, (at: number, last: number) => number>} */
const KEYS = {
  ArrowRight: (at) => at + 1,
  ArrowDown: (at) => at + 1,
  ArrowLeft: (at) => at - 1,
  ArrowUp: (at) => at - 1,
  Home: () => 0,
  End: (_, last) => last,
};

/**
 * @param {HTMLElement} container
 * @returns {(nodes: SVGElement[]) => void} sets what can be reached, in its order
 */
export function createRovingFocus(container) {
  /** @type {SVGElement[]} */
  let nodes = [];
  /** @type {SVGElement | undefined} */
  let stop;
  /** What has the focus, or had it until it was removed. @type {EventTarget | null} */
  let focused = null;

  /** @param {SVGElement | undefined} next */
  const setStop = (next) => {
    stop = next;
    for (const node of nodes) {
      const index = node === stop ? "0" : "-1";
      if (node.getAttribute("tabindex") !== index) node.setAttribute("tabindex", index);
    }
  };

  container.addEventListener("focusin", ({ target }) => (focused = target));
  // A node that is removed loses the focus to nobody: it is looked after below, before the microtask.
  container.addEventListener("focusout", ({ target }) =>
    queueMicrotask(() => {
      if (focused === target) focused = null;
    }),
  );
  container.addEventListener("keydown", (event) => {
    const at = nodes.indexOf(/** @type {SVGElement} */ (event.target));
    const next = KEYS[event.key]?.(at, nodes.length - 1);
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    if (!nodes[next]) return;
    setStop(nodes[next]);
    nodes[next].focus();
  });

  return (next) => {
    for (const node of nodes) if (!next.includes(node)) node.removeAttribute("tabindex");
    nodes = next;
    setStop(stop && nodes.includes(stop) ? stop : nodes[0]);
    if (focused instanceof Element && !focused.isConnected) stop?.focus();
  };
}
