/** Formats numbers, times, paths and countries for readers. */

import { locale, say } from "./messages.js";

const whole = new Intl.NumberFormat(locale);
// The locale chooses between 08:25 and 8:25 AM; with `hour: "numeric"` a range would be written in another way.
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const clockSeconds = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const longWeekday = new Intl.DateTimeFormat(locale, { weekday: "long" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "short" });
const ages = new Intl.RelativeTimeFormat(locale, { style: "short" });
const regions = new Intl.DisplayNames(locale, { type: "region" });

/** @param {number} count */
export const formatNumber = (count) => whole.format(count);
/** @param {number} ms */
export const formatTime = (ms) => clock.format(ms);
/** @param {number} ms */
export const formatTimeWithSeconds = (ms) => clockSeconds.format(ms);
/** @param {number} ms */
export const formatDate = (ms) => day.format(ms);

/** A range of time: "20:50–21:00"; of one over midnight Intl would say both dates. @param {number} from @param {number} to */
export const formatTimeRange = (from, to) =>
  isOneDay(from, to) ? clock.formatRange(from, to) : `${clock.format(from)}–${clock.format(to)}`;

/** @param {number} a @param {number} b */
const isOneDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

/** The same with the weekday. @param {number} from @param {number} to */
export const formatDayTimeRange = (from, to) => `${weekday.format(from)} ${formatTimeRange(from, to)}`;

/** "12 Nov". @param {number} ms */
export const formatDay = (ms) => shortDay.format(ms);

/** "10–16 Nov". @param {number} from @param {number} to */
export const formatDayRange = (from, to) => shortDay.formatRange(from, to);

/** "Tuesday". @param {number} ms */
export const formatWeekday = (ms) => longWeekday.format(ms);

/** @param {number} count */
export const formatPeople = (count) => say("people", { n: count });

/** "active in the last 2 minutes", or where these are not whole "90 seconds". @param {number} ms */
export function activeWithin(ms) {
  const isWhole = ms % 60_000 === 0 || ms >= 600_000;
  return isWhole ? say("activeMinutes", { n: Math.round(ms / 60_000) }) : say("activeSeconds", { n: ms / 1000 });
}

/** How long ago, in seconds, from 100 s on in minutes, and so on. @param {number} ms */
export function formatAge(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return ages.format(-seconds, "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return ages.format(-minutes, "minute");
  const hours = Math.round(minutes / 60);
  return hours < 48 ? ages.format(-hours, "hour") : ages.format(-Math.round(hours / 24), "day");
}

/**
 * A path for display: escapes stay, for the service has decoded all but those that make another page.
 * Invisible characters and those that change the text direction are escaped.
 *
 * @param {string} path
 */
export function readablePath(path) {
  return path.replace(/[\p{C}\p{Z}]/gu, (character) => (character === " " ? " " : encodeURIComponent(character)));
}

/** A source for readers; the service calls those who came directly `--`. @param {string} source */
export function sourceName(source) {
  return source === "--" ? say("directly") : source;
}

/**
 * Says of a number where those are that it counts: "3 on /pricing".
 *
 * @param {string} count
 * @param {import("./filters.js").Filters} filters
 */
export function countWhere(count, { page, country, source }) {
  if (page !== null) return say("onPage", { count, path: readablePath(page) });
  if (country !== null) return say("inCountry", { count, country: countryName(country) });
  if (source === null) return say("here", { count });
  return source === "--" ? say("direct", { count }) : say("fromSource", { count, source });
}

/** @param {string} device */
export function deviceName(device) {
  return say(device === "desktop" || device === "phone" || device === "tablet" ? device : "unknown");
}

/** The name of a country, or its code if it has none. @param {string} code */
export function countryName(code) {
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}
