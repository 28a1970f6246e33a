/** History: the chart with its spans, what is usual, today's peak, and this time yesterday. */

import { createChart } from "./chart.js";
import { byId, setText } from "./dom.js";
import { formatNumber, formatTime, formatTimeRange } from "./format.js";
import { TimeSeries } from "./time_series.js";
import { usualSentence } from "./usual.js";
import { say } from "./messages.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** @type {Record<string, Record<string, string>>} */
const SPANS = {
  "30 minutes": { minutes: "30" },
  "24 hours": { hours: "24", compare: "week" },
  "7 days": { hours: "168", compare: "week" },
  "30 days": { days: "30", compare: "week" },
  "12 months": { days: "364", every: "7" },
};
/** @type {Record<string, "last30m" | "last24h" | "last7d" | "last30d" | "last12m">} */
const TITLES = { "30 minutes": "last30m", "24 hours": "last24h", "7 days": "last7d", "30 days": "last30d", "12 months": "last12m" };
const RECENT = "30 minutes";

/** @param {import("./api.js").SiteApi} api */
export function createHistory(api) {
  const chart = createChart(byId("plot"), byId("readout"));
  const recent = new TimeSeries();
  const days = new TimeSeries(); // two of them, for today's peak and this time yesterday
  let long = new TimeSeries();
  let span = RECENT;
  let views = 0;
  let hour = 0;
  /** @type {number | null} */
  let since = null;

  const show = () => {
    const series = span === RECENT ? recent : long;
    if (series.points.length) chart.show(series, say(TITLES[span]), since ?? 0);
    byId("legend-previous").hidden = !("compare" in SPANS[span]);
    showToday();
  };

  const showToday = () => {
    if (!days.points.length) return;
    const now = Date.now();
    const peak = days.peak(new Date(now).setHours(0, 0, 0, 0));
    setText(byId("peak"), formatNumber(peak?.peakActive ?? 0));
    setText(byId("peak-at"), peak?.peakActive ? formatPeakTime(peak, now) : "");
    const yesterday = since !== null && since < now - DAY_MS ? days.pointAt(now - DAY_MS) : undefined;
    setText(byId("yesterday"), yesterday ? formatNumber(yesterday.peakActive ?? 0) : "–");
    setText(byId("yesterday-at"), yesterday ? say("peakOf", { range: formatTimeRange(yesterday.at, yesterday.at + days.resolutionMs) }) : say("notCounted"));
  };

  /**
   * When a peak was: the minute if it is within the last 30, else the range of its bucket.
   *
   * @param {import("./time_series.js").Point} peak
   * @param {number} now
   */
  const formatPeakTime = (peak, now) => {
    const end = peak.at + days.resolutionMs;
    const minute = recent.firstReaching(peak.at, end, peak.peakActive ?? 0);
    return minute ? say("peakAt", { time: formatTime(minute.at) }) : formatTimeRange(peak.at, Math.min(end, Math.max(now, peak.at)));
  };

  const load = async () => {
    hour = Math.floor(Date.now() / HOUR_MS);
    const requests = /** @type {[TimeSeries, Record<string, string>][]} */ ([
      [recent, SPANS[RECENT]],
      [days, { minutes: "2880", every: "10" }],
    ]);
    await Promise.all([
      ...requests.map(([series, query]) => fill(series, query)),
      ...(span === RECENT ? [] : [fill(long, SPANS[span])]),
      api.fetchJson("history", { hours: "2", compare: "4weeks" }).then((response) => {
        if (response) setText(byId("usual"), usualSentence(response.points[0]));
      }),
    ]);
    show();
  };

  /** @param {TimeSeries} series @param {Record<string, string>} query */
  const fill = async (series, query) => {
    const response = await api.fetchJson("history", query);
    if (response) series.replace(response);
  };

  const buttons = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-span]"));
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      const chosen = button.dataset.span ?? RECENT;
      span = chosen;
      for (const other of buttons) other.ariaPressed = String(other === button);
      if (chosen !== RECENT) {
        const series = new TimeSeries();
        await fill(series, SPANS[chosen]);
        if (span !== chosen) return; // another one was chosen meanwhile
        long = series;
      }
      show();
    });
  }

  return {
    /** Loads everything again. @param {import("./model.js").Snapshot} numbers */
    reload: ({ totalPageViews, trackingSince }) => {
      views = totalPageViews;
      since = trackingSince;
      return load();
    },
    /** Adds the current numbers. @param {import("./model.js").Change} change */
    add: ({ asOf, activeVisitors, totalPageViews }) => {
      for (const series of [recent, days, long]) series.add(asOf, activeVisitors, totalPageViews - views);
      views = totalPageViews;
      // An hour that is over has something to be held against. Not everybody asks at once.
      if (hour && Math.floor(Date.now() / HOUR_MS) > hour) {
        hour = 0;
        setTimeout(load, Math.random() * 60_000);
      }
      show();
    },
  };
}
