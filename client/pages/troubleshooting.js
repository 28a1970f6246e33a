/** What commonly is wrong, said when somebody has waited in vain for a while, and not before. */

const DELAY_MS = 20_000;

/**
 * Makes an element show itself after a while.
 *
 * @param {HTMLElement} element hidden at first
 * @returns {{start: () => void, stop: () => void}} `start` begins to wait, `stop` hides it
 */
export function createTroubleshooting(element) {
  let timer = 0;
  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    element.hidden = true;
  };
  return {
    start: () => {
      if (!timer) timer = setTimeout(() => (element.hidden = false), DELAY_MS);
    },
    stop,
  };
}
