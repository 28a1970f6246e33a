/** The numbers of a site as its stream tells them: a snapshot, then what has changed since. */

export interface PageCount {
  readonly path: string;
  readonly count: number;
}

/** As much of the stream's events as is used here. */
export interface LiveEvent {
  readonly activeVisitors: number;
  readonly activeByPath: readonly PageCount[];
  readonly totalPageViews: number;
  readonly uniqueVisitors: number;
  readonly asOf: number;
}

/** A path as the service keeps it. */
export const cleanPath = (path: string): string =>
  path.replace(/[?#].*/, "").replace(/(.)\/$/, "$1").normalize();
