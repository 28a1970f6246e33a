/** Formats numbers, times, paths and countries for readers. */

const whole = new Intl.NumberFormat();
// The locale chooses between 08:25 and 8:25 AM.
const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat(undefined, {
  hour: "numeric", minute: "2-digit", second: "2-digit",
});
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const longWeekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "numeric", minute: "2-digit" });
const regions = new Intl.DisplayNames(undefined, { type: "region" });

/** @param {number} count */
export const formatNumber = (count) => whole.format(count);
/** @param {number} ms */
export const formatTime = (ms) => clock.format(ms);
/** @param {number} ms */
export const formatTimeWithSeconds = (ms) => clockSeconds.format(ms);
/** @param {number} ms */
export const formatDate = (ms) => day.format(ms);

/** A range of time: "20:50–21:00". @param {number} from @param {number} to */
export const formatTimeRange = (from, to) => clock.formatRange(from, to);

/** The same with the weekday. @param {number} from @param {number} to */
export const formatDayTimeRange = (from, to) => `${weekday.format(from)}–${clock.format(to)}`;

/** "12 Nov". @param {number} ms */
export const formatDay = (ms) => shortDay.format(ms);

/** "10–16 Nov". @param {number} from @param {number} to */
export const formatDayRange = (from, to) => shortDay.formatRange(from, to);

/** "Tuesday". @param {number} ms */
export const formatWeekday = (ms) => longWeekday.format(ms);

/** @param {number} count */
export const formatPeople = (count) => `${formatNumber(count)} ${count === 1 ? "person" : "people"}`;

/** "2 minutes", or where these are not whole "90 seconds". @param {number} ms */
export function formatDuration(ms) {
  const isWhole = ms % 60_000 === 0 || ms >= 600_000;
  const [count, unit] = isWhole ? [Math.round(ms / 60_000), "minute"] : [ms / 1000, "second"];
  return count === 1 ? unit : `${formatNumber(count)} ${unit}s`;
}

/** How long ago, in seconds, from 100 s on in minutes. @param {number} ms */
export function formatAge(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 100 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
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
  return source === "--" ? "direct" : source;
}

/** "from news.example", of people. @param {string} source */
export function cameFrom(source) {
  return source === "--" ? "who came directly" : `from ${source}`;
}

/** @param {string} device */
export function deviceName(device) {
  return { desktop: "Desktop", phone: "Phone", tablet: "Tablet" }[device] ?? "unknown";
}

/** The name of a country, or its code if it has none. @param {string} code */
export function countryName(code) {
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}
