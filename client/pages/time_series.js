/** A stretch of the site's past that goes on with the current. */

/**
 * @typedef {{at: number, peakActive: number, views: number}} Point
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
   * What is so now. The last point is the one under way; the oldest makes room for the next.
   *
   * @param {number} at
   * @param {number} active
   * @param {number} views those that came since it was told last
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
    current.peakActive = Math.max(current.peakActive, active);
    current.views += views;
  }

  /** The point of most people since a moment; of several the first. @param {number} since */
  peak(since) {
    return this.points
      .filter(({ at }) => at + this.resolutionMs > since)
      .reduce((best, point) => (!best || point.peakActive > best.peakActive ? point : best), /** @type {Point | null} */ (null));
  }

  /**
   * The first point of that many people between two moments, if the series knows all between them.
   *
   * @param {number} from
   * @param {number} to
   * @param {number} active
   */
  firstReaching(from, to, active) {
    if (!this.points.length || this.points[0].at > from) return undefined;
    return this.points.find(({ at, peakActive }) => at >= from && at < to && peakActive >= active);
  }

  /** The point that a moment is in. @param {number} moment */
  pointAt(moment) {
    return this.points.find(({ at }) => at <= moment && moment < at + this.resolutionMs);
  }
}
