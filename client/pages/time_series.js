/** A time series of fixed-size buckets, the last of which is still being counted. */

/**
 * @typedef {{peakActive: number | null, views: number | null, uniqueVisitors?: number | null}} Values
 * @typedef {Values & {at: number, previous?: Values | null}} Point null: not counted yet
 * @typedef {{resolutionMs: number, points: Point[]}} History
 */

export class TimeSeries {
  resolutionMs = 60_000;
  /** @type {Point[]} */
  points = [];

  /** @param {History} history */
  replace({ resolutionMs, points }) {
    this.resolutionMs = resolutionMs;
    this.points = points;
  }

  /**
   * Adds the current numbers to the last bucket; drops the oldest bucket for each new one.
   *
   * @param {number} at
   * @param {number} active
   * @param {number} views new views since the last call
   */
  add(at, active, views) {
    const last = this.points.at(-1);
    if (!last) return;
    const start = at - (at % this.resolutionMs);
    for (let next = last.at + this.resolutionMs; next <= start; next += this.resolutionMs) {
      this.points.push({ at: next, peakActive: active, views: 0 });
      this.points.shift();
    }
    const current = /** @type {Point} */ (this.points.at(-1));
    current.peakActive = Math.max(current.peakActive ?? 0, active);
    current.views = (current.views ?? 0) + views;
  }

  /** The first of the highest points since a time. @param {number} since */
  peak(since) {
    return this.points
      .filter(({ at }) => at + this.resolutionMs > since)
      .reduce((best, point) => (!best || (point.peakActive ?? 0) > (best.peakActive ?? 0) ? point : best), /** @type {Point | null} */ (null));
  }

  /**
   * The first point between two times with at least that many visitors; undefined if the series starts later.
   *
   * @param {number} from
   * @param {number} to
   * @param {number} active
   */
  firstReaching(from, to, active) {
    if (!this.points.length || this.points[0].at > from) return undefined;
    return this.points.find(({ at, peakActive }) => at >= from && at < to && (peakActive ?? 0) >= active);
  }

  /** The bucket that contains a time. @param {number} moment */
  pointAt(moment) {
    return this.points.find(({ at }) => at <= moment && moment < at + this.resolutionMs);
  }
}
