/**
 * The order of a list's rows, which stands still while somebody aims at one: a row that moves away
 * between the aim and the click puts its neighbour under the finger.
 */

const MIN_GAP_MS = 4000; // between two changes of the order
const AFTER_TOUCH_MS = 4000; // a finger that was here comes back

/** @typedef {[key: string, count: number]} Ranked */

/**
 * @param {HTMLElement} list
 * @param {() => void} onDue called when an order that was put off may be shown
 */
export function createRowOrder(list, onDue) {
  /** What is shown, in its order. @type {Map<string, number>} */
  let shown = new Map();
  let isPending = false;
  let isPointedAt = false;
  let isTouched = false;
  let changedAt = -Infinity;
  let timer = 0;
  let touchTimer = 0;

  // A click focuses its row for as long as nothing else is clicked: only a focus that is seen counts.
  const isHeld = () => isPointedAt || isTouched || list.querySelector(":focus-visible") !== null;

  const release = () => {
    clearTimeout(timer);
    if (!isPending || isHeld()) return;
    timer = setTimeout(onDue, Math.max(0, changedAt + MIN_GAP_MS - performance.now()));
  };

  /** Ends what still moves, so that the row under the pointer stays under it. */
  const stand = () => {
    for (const item of list.children) for (const animation of item.getAnimations()) animation.finish();
  };

  list.addEventListener("pointerenter", ({ pointerType }) => {
    if (pointerType === "touch") return; // it leaves when the finger is lifted
    isPointedAt = true;
    stand();
  });
  list.addEventListener("pointerleave", () => {
    isPointedAt = false;
    release();
  });
  list.addEventListener("pointerdown", ({ pointerType }) => {
    if (pointerType !== "touch") return;
    isTouched = true;
    clearTimeout(touchTimer);
    stand();
  });
  for (const type of ["pointerup", "pointercancel"]) {
    list.addEventListener(type, () => {
      clearTimeout(touchTimer);
      touchTimer = setTimeout(() => {
        isTouched = false;
        release();
      }, AFTER_TOUCH_MS);
    });
  }
  list.addEventListener("focusin", stand);
  list.addEventListener("focusout", () => setTimeout(release)); // until then the row still has it

  /**
   * The rows to show, with their counts of now: those that are highest, or those shown so far while
   * their order is kept. New ones then follow at the end, as far as there is room.
   *
   * @param {Ranked[]} highest at most `limit`
   * @param {(key: string) => number | undefined} countOf of a row that is not among them; undefined: as before
   * @param {number} limit
   * @returns {Ranked[]}
   */
  return (highest, countOf, limit) => {
    const now = performance.now();
    const counts = new Map(highest);
    const before = [...shown.keys()];
    const isOther = before.length !== counts.size || highest.some(([key], n) => key !== before[n]);
    const mayChange = !isHeld() && now - changedAt >= MIN_GAP_MS;
    isPending = isOther && before.length > 0 && !mayChange;
    if (!isOther || !isPending) {
      if (isOther && before.length) changedAt = now;
      shown = counts;
    } else {
      const keys = [...before, ...highest.map(([key]) => key).filter((key) => !shown.has(key))];
      shown = new Map(
        keys.slice(0, Math.max(limit, before.length)).map((key) => [key, counts.get(key) ?? countOf(key) ?? shown.get(key) ?? 0]),
      );
      release();
    }
    return [...shown];
  };
}
