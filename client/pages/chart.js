/** People here and views per minute, drawn by uPlot. */

import uPlot from "uplot";
import { setText } from "./dom.js";
import { number, people, time, timesOfDay } from "./format.js";

const STEPS = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6].map((power) => n * 10 ** power)).sort((a, b) => a - b);

/**
 * Makes an element show a series.
 *
 * @param {HTMLElement} plot
 * @param {HTMLElement} readout says what is under the pointer
 * @returns {{show: (series: import("./time_series.js").Series, span: string) => void, redraw: () => void}}
 */
export function chart(plot, readout) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const colour = colours(plot.parentElement ?? plot);
  /** @type {uPlot | null} */
  let drawn = null;
  /** @type {uPlot.AlignedData} */
  let data = [[]];
  let resolutionMs = 60_000;

  /** A point's time, as finely as it is known. @param {number} at */
  const moment = (at) => (resolutionMs > 60_000 ? timesOfDay(at, at + resolutionMs) : time(at));

  const axis = {
    stroke: () => colour(".soft", "color"),
    font: `${Math.round(rem * 0.75)}px system-ui, sans-serif`,
    grid: { stroke: () => colour(".grid", "color"), width: 1 },
    ticks: { show: false },
  };
  const size = () => ({ width: plot.clientWidth, height: plot.clientHeight });

  /** The step from line to line, so that they are not too close up to the highest value. @param {number} most */
  const stepTo = (most) => {
    const lines = Math.max(1, Math.floor((plot.clientHeight - rem * 2) / (rem * 2.4)));
    return STEPS.find((step) => Math.ceil(most / step) <= lines) ?? most;
  };

  /** Up to a line, so that no value is above the highest of them. @param {number} most */
  const top = (most) => stepTo(most) * Math.ceil(most / stepTo(most));

  const draw = () =>
    new uPlot(
      {
        ...size(),
        legend: { show: false },
        padding: [rem / 2, rem, 0, 0],
        cursor: { y: false, points: { size: rem / 2 }, drag: { x: false, y: false } },
        scales: {
          x: { range: ({ data: [at] }, from, to) => [from - margin(at), to + margin(at)] },
          y: { range: (_, __, most) => [0, top(Math.max(4, most))] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            space: rem * 5,
            size: rem * 1.5,
            values: (_, at) => at.map((s) => time(s * 1000)),
          },
          {
            ...axis,
            splits: (_, __, ___, most) => {
              const step = stepTo(most);
              return Array.from({ length: Math.round(most / step) + 1 }, (_, n) => n * step);
            },
            size: (_, values) =>
              rem * (0.9 + 0.5 * Math.max(1, ...(values ?? []).map((text) => text.length))),
            values: (_, counts) => counts.map(number),
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
        hooks: { setCursor: [(u) => read(u)] },
      },
      data,
      plot,
    );

  /** @param {uPlot} u */
  const read = (u) => {
    const index = u.cursor.idx;
    if (index === null || index === undefined) return setText(readout, "");
    const [at, views, active] = u.data.map((column) => column[index] ?? 0);
    const most = resolutionMs > 60_000 ? "at most " : "";
    setText(readout, `${moment(at * 1000)}: ${most}${people(active)}, ${number(Math.round(views * 10) / 10)} views per minute`);
  };

  /** What is under a pointer that rests is another. */
  const look = () => drawn?.setCursor({ left: drawn.cursor.left ?? -1, top: drawn.cursor.top ?? -1 });

  /** @param {import("./time_series.js").Series} series @param {string} span */
  const show = (series, span) => {
    const { points } = series;
    resolutionMs = series.resolutionMs;
    const minutes = resolutionMs / 60_000;
    data = [
      points.map(({ at }) => at / 1000),
      points.map(({ views }) => views / minutes),
      points.map(({ peakActive }) => peakActive),
    ];
    if (drawn) drawn.setData(data);
    else drawn = draw();
    queueMicrotask(look); // after uPlot's own, which has it draw
    const peak = series.peak(0);
    const now = points.at(-1);
    plot.ariaLabel = peak && now
      ? `People here over the last ${span}: at most ${number(peak.peakActive)}, ${moment(peak.at)}; ${number(now.peakActive)} now.`
      : `People here over the last ${span}`;
  };

  const redraw = () => drawn?.redraw(false);
  const resize = () => {
    drawn?.setSize(size());
    drawn?.setData(data); // another height has other lines
  };
  new ResizeObserver(resize).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return { show, redraw };
}

/** Half a bar, so that the first and the last are whole. @param {ArrayLike<number>} at */
const margin = (at) => (at[1] - at[0]) / 2 || 30;

/**
 * A canvas knows no custom properties: colours are those of elements that have them.
 *
 * @param {HTMLElement} root
 */
function colours(root) {
  return (/** @type {string} */ selector, /** @type {"color" | "backgroundColor"} */ property) =>
    getComputedStyle(root.querySelector(selector) ?? root)[property];
}
