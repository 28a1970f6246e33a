/** Whether this is much: the last whole hour beside what is usual at that time of the week. */

import { formatNumber, formatTime, formatWeekday } from "./format.js";

const ABOUT = 3; // percent that are no difference

/**
 * "37 % above a usual Tuesday at 14:00"; empty where nothing is known of earlier weeks.
 *
 * @param {import("./time_series.js").Point | undefined} hour with the median of earlier weeks as `previous`
 */
export function usualSentence(hour) {
  const usual = hour?.previous?.peakActive;
  if (!hour || !usual || hour.peakActive === null) return "";
  const percent = Math.round((hour.peakActive / usual - 1) * 100);
  const then = `usual ${formatWeekday(hour.at)} at ${formatTime(hour.at)}`;
  if (Math.abs(percent) < ABOUT) return `As many as on a ${then}`;
  return `${formatNumber(Math.abs(percent))} % ${percent > 0 ? "above" : "below"} a ${then}`;
}
