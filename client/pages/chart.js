/** People here and views per minute, drawn by uPlot. */

import uPlot from "uplot";
import { setText } from "./dom.js";
import { formatDayTimeRange, formatNumber, formatPeople, formatTime } from "./format.js";

const STEPS = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6].map((power) => n * 10 ** power)).sort((a, b) => a - b);

/**
 * Draws a time series into an element.
 *
 * @param {HTMLElement} plot
 * @param {HTMLElement} readout shows the values under the pointer
 * @returns {{show: (series: import("./time_series.js").TimeSeries, span: string) => void, redraw: () => void}}
 */
export function createChart(plot, readout) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const colour = colours(plot.parentElement ?? plot);
  /** @type {uPlot | null} */
  let plotted = null;
  /** @type {uPlot.AlignedData} */
  let data = [[]];
  let resolutionMs = 60_000;

  /** The time of a point: a minute, or the range of a longer bucket. @param {number} at */
  const formatMoment = (at) => (resolutionMs > 60_000 ? formatDayTimeRange(at, at + resolutionMs) : formatTime(at));

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
        padding: [rem / 2, rem, 0, 0],
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
            values: (_, at) => at.map((s) => formatTime(s * 1000)),
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
            points: { show: false },
          },
        ],
        hooks: { setCursor: [(u) => showReadout(u)] },
      },
      data,
      plot,
    );

  /** @param {uPlot} u */
  const showReadout = (u) => {
    const index = u.cursor.idx;
    if (index === null || index === undefined) return setText(readout, "");
    const [at, views, active] = u.data.map((column) => column[index] ?? 0);
    const prefix = resolutionMs > 60_000 ? "at most " : "";
    setText(readout, `${formatMoment(at * 1000)}: ${prefix}${formatPeople(active)}, ${formatNumber(Math.round(views * 10) / 10)} views per minute`);
  };

  /** Updates the readout when data changes under a resting pointer. */
  const refreshCursor = () => plotted?.setCursor({ left: plotted.cursor.left ?? -1, top: plotted.cursor.top ?? -1 });

  /** @param {import("./time_series.js").TimeSeries} series @param {string} span */
  const show = (series, span) => {
    const { points } = series;
    resolutionMs = series.resolutionMs;
    const minutes = resolutionMs / 60_000;
    data = [
      points.map(({ at }) => at / 1000),
      points.map(({ views }) => views / minutes),
      points.map(({ peakActive }) => peakActive),
    ];
    if (plotted) plotted.setData(data);
    else plotted = draw();
    queueMicrotask(refreshCursor); // uPlot draws in a microtask of its own, queued earlier
    const peak = series.peak(0);
    const now = points.at(-1);
    plot.ariaLabel = peak && now
      ? `People here over the last ${span}: at most ${formatNumber(peak.peakActive)}, ${formatMoment(peak.at)}; ${formatNumber(now.peakActive)} now.`
      : `People here over the last ${span}`;
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
