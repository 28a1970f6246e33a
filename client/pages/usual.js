/** Whether this is much: the last whole hour beside what is usual at that time of the week. */

import { formatTime, formatWeekday } from "./format.js";
import { say } from "./messages.js";

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
  const then = { weekday: formatWeekday(hour.at), time: formatTime(hour.at) };
  if (Math.abs(percent) < ABOUT) return say("usual", then);
  return say(percent > 0 ? "aboveUsual" : "belowUsual", { n: Math.abs(percent), ...then });
}
