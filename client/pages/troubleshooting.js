/** What commonly is wrong, said when somebody has waited in vain for a while, and not before. */

const PATIENCE_MS = 20_000;

/**
 * Makes an element show itself after a while.
 *
 * @param {HTMLElement} element hidden at first
 * @returns {{wait: () => void, stop: () => void}} `wait` begins to wait, `stop` hides it
 */
export function hint(element) {
  let timer = 0;
  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    element.hidden = true;
  };
  return {
    wait: () => {
      if (!timer) timer = setTimeout(() => (element.hidden = false), PATIENCE_MS);
    },
    stop,
  };
}
