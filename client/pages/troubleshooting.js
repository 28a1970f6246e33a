/** Shows common causes after 20 s without a heartbeat. */

const DELAY_MS = 20_000;

/**
 * Shows an element after a delay.
 *
 * @param {HTMLElement} element hidden at first
 * @returns {{start: () => void, stop: () => void}} `start` starts the delay; `stop` cancels it and hides the element
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
