/** People here and views per minute, drawn by uPlot. */

import uPlot from "uplot";
import { setText } from "./dom.js";
import { formatEstimate } from "./estimate.js";
import { formatDay, formatDayRange, formatDayTimeRange, formatNumber, formatPeople, formatTime } from "./format.js";
import { say } from "./messages.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const STEPS = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6].map((power) => n * 10 ** power)).sort((a, b) => a - b);

/**
 * Draws a time series into an element.
 *
 * @param {HTMLElement} plot
 * @param {HTMLElement} readout shows the values under the pointer
 * @returns {{show: (series: import("./time_series.js").TimeSeries, title: string, since: number) => void, redraw: () => void}}
 *   `show` draws a series; what was before `since`, ms, was not counted
 */
export function createChart(plot, readout) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const colour = colours(plot.parentElement ?? plot);
  /** @type {uPlot | null} */
  let plotted = null;
  /** @type {uPlot.AlignedData} */
  let data = [[]];
  let resolutionMs = 60_000;
  let countedFrom = 0;
  /** @type {import("./time_series.js").Point[]} */
  let shown = [];

  /** The time of a point: a minute, a day, or the range of another bucket. @param {number} at */
  const formatMoment = (at) => {
    const end = at + resolutionMs;
    // Days are those of UTC; noon is on the same day nearly everywhere.
    if (resolutionMs >= DAY_MS) return formatDayRange(at + DAY_MS / 2, end - DAY_MS / 2);
    return resolutionMs > 60_000 ? formatDayTimeRange(at, end) : formatTime(at);
  };

  /** Tick labels: times, and where they are far apart or a day begins, days. @param {number[]} at @param {number} step */
  const formatTicks = (at, step) =>
    at.map((s) => {
      const isMidnight = new Date(s * 1000).setHours(0, 0, 0, 0) === s * 1000;
      return step * 1000 >= DAY_MS || (isMidnight && resolutionMs >= HOUR_MS) ? formatDay(s * 1000) : formatTime(s * 1000);
    });

  const axis = {
    stroke: () => colour(".muted", "color"),
    font: `${Math.round(rem * 0.75)}px system-ui, sans-serif`,
    grid: { stroke: () => colour(".grid", "color"), width: 1 },
    ticks: { show: false },
  };
  const size = () => ({ width: plot.clientWidth, height: plot.clientHeight });

  /** The smallest step that keeps grid lines at least 2.4 rem apart. @param {number} max */
  const stepTo = (max) => {
    const lines = Math.max(1, Math.floor((plot.clientHeight - rem * 2) / (rem * 2.4)));
    return STEPS.find((step) => Math.ceil(max / step) <= lines) ?? max;
  };

  /** Rounds the maximum up to a grid line, so that every value is below the top line. @param {number} max */
  const top = (max) => stepTo(max) * Math.ceil(max / stepTo(max));

  const draw = () =>
    new uPlot(
      {
        ...size(),
        legend: { show: false },
        padding: [rem / 2, rem * 2, 0, 0], // half of a time at the very right, such as 12:00 AM
        cursor: { y: false, points: { size: rem / 2 }, drag: { x: false, y: false } },
        scales: {
          x: { range: ({ data: [at] }, from, to) => [from - margin(at), to + margin(at)] },
          y: { range: (_, __, max) => [0, top(Math.max(4, max))] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            space: rem * 5,
            size: rem * 1.5,
            values: (_, at, __, ___, step) => formatTicks(at, step),
          },
          {
            ...axis,
            splits: (_, __, ___, max) => {
              const step = stepTo(max);
              return Array.from({ length: Math.round(max / step) + 1 }, (_, n) => n * step);
            },
            size: (_, values) =>
              rem * (0.9 + 0.5 * Math.max(1, ...(values ?? []).map((text) => text.length))),
            values: (_, counts) => counts.map(formatNumber),
          },
        ],
        series: [
          {},
          {
            paths: uPlot.paths.bars?.({ size: [0.7, rem * 1.5] }),
            fill: () => colour(".views", "color"),
            width: 0,
            points: { show: false },
          },
          {
            stroke: () => colour(".people", "color"),
            fill: () => colour(".people", "backgroundColor"),
            width: rem / 8,
            // Of one moment alone there is no line to draw: a site that has just begun.
            points: { size: rem / 2, show: () => shown.filter(isCounted).length === 1 },
          },
          {
            stroke: () => colour(".previous", "color"),
            width: rem / 10,
            dash: [rem / 4, rem / 4],
            points: { show: false },
          },
        ],
        hooks: { setCursor: [(u) => showReadout(u)], drawClear: [(u) => hatch(u)] },
      },
      data,
      plot,
    );

  /** Hatches the time before anything was counted. @param {uPlot} u */
  const hatch = (u) => {
    const { left, top: above, width, height } = u.bbox;
    const end = Math.min(left + width, u.valToPos(countedFrom / 1000, "x", true));
    if (end <= left) return;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, above, end - left, height);
    u.ctx.clip();
    u.ctx.beginPath();
    for (let x = left - height; x < end; x += rem * devicePixelRatio) {
      u.ctx.moveTo(x, above + height);
      u.ctx.lineTo(x + height, above);
    }
    u.ctx.setLineDash([]);
    u.ctx.lineWidth = devicePixelRatio;
    u.ctx.strokeStyle = colour(".grid", "color");
    u.ctx.stroke();
    u.ctx.restore();
  };

  /** @param {uPlot} u */
  const showReadout = (u) => {
    const point = shown[u.cursor.idx ?? -1];
    if (!point) return setText(readout, "");
    const { at, peakActive, views, uniqueVisitors, previous } = point;
    if (!isCounted(point)) return setText(readout, say("labelled", { label: formatMoment(at), value: say("notCounted") }));
    const parts = [resolutionMs > 60_000 ? say("atMost", { people: formatPeople(peakActive ?? 0) }) : formatPeople(peakActive ?? 0)];
    if (typeof previous?.peakActive === "number") parts[0] += ` ${say("weekBefore", { count: previous.peakActive })}`;
    if (resolutionMs < HOUR_MS) {
      parts.push(say("viewsPerMinute", { n: Math.round(((views ?? 0) / (resolutionMs / 60_000)) * 10) / 10 }));
    } else parts.push(say("viewCount", { n: views ?? 0 }));
    if (typeof uniqueVisitors === "number") parts.push(say("unique", { count: formatEstimate(uniqueVisitors, peakActive ?? 0) }));
    setText(readout, say("labelled", { label: formatMoment(at), value: parts.join(", ") }));
  };

  /** @param {import("./time_series.js").Point} point */
  const isCounted = ({ at }) => at + resolutionMs > countedFrom;

  /** Updates the readout when data changes under a resting pointer. */
  const refreshCursor = () => plotted?.setCursor({ left: plotted.cursor.left ?? -1, top: plotted.cursor.top ?? -1 });

  /** @param {import("./time_series.js").TimeSeries} series @param {string} title @param {number} since */
  const show = (series, title, since) => {
    const { points } = series;
    shown = points;
    resolutionMs = series.resolutionMs;
    countedFrom = since;
    const minutes = resolutionMs / 60_000;
    data = [
      points.map(({ at }) => at / 1000),
      points.map((point) => (isCounted(point) ? (point.views ?? 0) / minutes : null)),
      points.map((point) => (isCounted(point) ? point.peakActive : null)),
      points.map(({ previous }) => previous?.peakActive ?? null),
    ];
    if (plotted) plotted.setData(data);
    else plotted = draw();
    queueMicrotask(refreshCursor); // uPlot draws in a microtask of its own, queued earlier
    const peak = series.peak(0);
    const now = points.at(-1);
    plot.ariaLabel = peak && now
      ? say("chartSum", { title, peak: peak.peakActive ?? 0, time: formatMoment(peak.at), now: now.peakActive ?? 0 })
      : title;
  };

  const redraw = () => plotted?.redraw(false);
  const resize = () => {
    plotted?.setSize(size());
    plotted?.setData(data); // grid lines depend on the height
  };
  new ResizeObserver(resize).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return { show, redraw };
}

/** Half a bar of margin, so that the first and last bars are not cut off. @param {ArrayLike<number>} at */
const margin = (at) => (at[1] - at[0]) / 2 || 30;

/**
 * Reads colours from styled elements, because a canvas cannot use CSS custom properties.
 *
 * @param {HTMLElement} root
 */
function colours(root) {
  return (/** @type {string} */ selector, /** @type {"color" | "backgroundColor"} */ property) =>
    getComputedStyle(root.querySelector(selector) ?? root)[property];
}
