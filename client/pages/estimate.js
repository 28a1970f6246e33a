/** Unique visitors, which are estimated, as numbers that one believes. */

import { formatNumber } from "./format.js";

const LEAST = 100; // below it an estimate is right, or one or two off
const DIGITS = 3; // what the error, 0.81 %, leaves of it

/**
 * "≈ 19,800"; a small number as it is.
 *
 * @param {number} estimate
 * @param {...number} others what it cannot be below, such as those who are here now
 */
export function formatEstimate(estimate, ...others) {
  const atLeast = Math.max(0, ...others);
  const best = Math.max(estimate, atLeast);
  if (best < LEAST) return formatNumber(best);
  const step = 10 ** (String(best).length - DIGITS);
  const rounded = Math.round(best / step) * step;
  return `≈\u00a0${formatNumber(rounded < atLeast ? rounded + step : rounded)}`;
}
