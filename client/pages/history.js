/** History: the chart with its two spans, today's peak, and this time yesterday. */

import { createChart } from "./chart.js";
import { byId, setText } from "./dom.js";
import { formatNumber, formatTime, formatTimeRange } from "./format.js";
import { TimeSeries } from "./time_series.js";

const DAY_MS = 86_400_000;
const SPANS = {
  "30 minutes": { minutes: "30" },
  "48 hours": { minutes: "2880", every: "10" },
};

/** @typedef {keyof typeof SPANS} Span */

/** @param {import("./api.js").SiteApi} api */
export function createHistory(api) {
  const chart = createChart(byId("plot"), byId("readout"));
  const recent = new TimeSeries();
  const days = new TimeSeries();
  /** @type {Span} */
  let span = "30 minutes";
  let views = 0;
  /** @type {number | null} */
  let since = null;

  const show = () => {
    const series = span === "30 minutes" ? recent : days;
    if (series.points.length) chart.show(series, span);
    showToday();
  };

  const showToday = () => {
    if (!days.points.length) return;
    const now = Date.now();
    const peak = days.peak(new Date(now).setHours(0, 0, 0, 0));
    setText(byId("peak"), formatNumber(peak?.peakActive ?? 0));
    setText(byId("peak-at"), peak?.peakActive ? formatPeakTime(peak, now) : "");
    const yesterday = since !== null && since < now - DAY_MS ? days.pointAt(now - DAY_MS) : undefined;
    setText(byId("yesterday"), yesterday ? formatNumber(yesterday.peakActive) : "–");
    setText(byId("yesterday-at"), yesterday ? `peak of ${formatTimeRange(yesterday.at, yesterday.at + days.resolutionMs)}` : "not counted yet");
  };

  /**
   * When a peak was: the minute if it is within the last 30, else the range of its bucket.
   *
   * @param {import("./time_series.js").Point} peak
   * @param {number} now
   */
  const formatPeakTime = (peak, now) => {
    const end = peak.at + days.resolutionMs;
    const minute = recent.firstReaching(peak.at, end, peak.peakActive);
    return minute ? `at ${formatTime(minute.at)}` : formatTimeRange(peak.at, Math.min(end, Math.max(now, peak.at)));
  };

  const load = async () => {
    const requests = /** @type {[TimeSeries, Record<string, string>][]} */ ([
      [recent, SPANS["30 minutes"]],
      [days, SPANS["48 hours"]],
    ]);
    await Promise.all(
      requests.map(async ([series, query]) => {
        const response = await api.fetchJson("history", query);
        if (response) series.replace(response);
      }),
    );
    show();
  };

  for (const button of document.querySelectorAll("[data-span]")) {
    button.addEventListener("click", () => {
      span = /** @type {Span} */ (/** @type {HTMLElement} */ (button).dataset.span);
      for (const other of document.querySelectorAll("[data-span]")) other.ariaPressed = String(other === button);
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
      for (const series of [recent, days]) series.add(asOf, activeVisitors, totalPageViews - views);
      views = totalPageViews;
      show();
    },
  };
}
