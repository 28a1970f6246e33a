/** The chart of two spans, the peak of the day, and this time yesterday. */

import { chart } from "./chart.js";
import { byId, setText } from "./dom.js";
import { Series } from "./time_series.js";
import { number, time, times } from "./format.js";

const DAY_MS = 86_400_000;
const SPANS = {
  "30 minutes": { minutes: "30" },
  "48 hours": { minutes: "2880", every: "10" },
};

/** @typedef {keyof typeof SPANS} Span */

/** @param {import("./api.js").Api} api */
export function past(api) {
  const drawing = chart(byId("plot"), byId("readout"));
  const recent = new Series();
  const days = new Series();
  /** @type {Span} */
  let span = "30 minutes";
  let views = 0;
  /** @type {number | null} */
  let since = null;

  const show = () => {
    const series = span === "30 minutes" ? recent : days;
    if (series.points.length) drawing.show(series, span);
    showDay();
  };

  const showDay = () => {
    if (!days.points.length) return;
    const now = Date.now();
    const peak = days.peak(new Date(now).setHours(0, 0, 0, 0));
    setText(byId("peak"), number(peak?.peakActive ?? 0));
    setText(byId("peak-at"), peak?.peakActive ? when(peak, now) : "");
    const then = since !== null && since < now - DAY_MS ? days.around(now - DAY_MS) : undefined;
    setText(byId("yesterday"), then ? number(then.peakActive) : "–");
    setText(byId("yesterday-at"), then ? `peak of ${times(then.at, then.at + days.resolutionMs)}` : "not counted yet");
  };

  /**
   * When a peak was, as finely as it is known: the minute where the last 30 hold all of it.
   *
   * @param {import("./time_series.js").Point} peak
   * @param {number} now
   */
  const when = (peak, now) => {
    const end = peak.at + days.resolutionMs;
    const minute = recent.first(peak.at, end, peak.peakActive);
    return minute ? `at ${time(minute.at)}` : times(peak.at, Math.min(end, Math.max(now, peak.at)));
  };

  const load = async () => {
    const wanted = /** @type {[Series, Record<string, string>][]} */ ([
      [recent, SPANS["30 minutes"]],
      [days, SPANS["48 hours"]],
    ]);
    await Promise.all(
      wanted.map(async ([series, query]) => {
        const answer = await api.ask("history", query);
        if (answer) series.replace(answer);
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
    /** All of it anew. @param {import("./model.js").Snapshot} numbers */
    restart: ({ totalPageViews, trackingSince }) => {
      views = totalPageViews;
      since = trackingSince;
      return load();
    },
    /** What is so now. @param {import("./model.js").Change} change */
    add: ({ asOf, activeVisitors, totalPageViews }) => {
      for (const series of [recent, days]) series.add(asOf, activeVisitors, totalPageViews - views);
      views = totalPageViews;
      show();
    },
  };
}
