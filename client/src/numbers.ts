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

export class Numbers {
  private readonly pages = new Map<string, number>();
  /** Whether a page that is not listed has nobody on it, and is not just one too many to list. */
  private readonly isComplete: boolean;

  constructor(public site: LiveEvent) {
    this.change(site);
    const listed = site.activeByPath.reduce((sum, { count }) => sum + count, 0);
    this.isComplete = listed >= site.activeVisitors;
  }

  change(event: LiveEvent): void {
    this.site = event;
    for (const { path, count } of event.activeByPath) this.pages.set(path, count);
  }

  /** Visitors on a page, or undefined where the service has to be asked. */
  on(path: string): number | undefined {
    return this.pages.get(path) ?? (this.isComplete ? 0 : undefined);
  }

  /** Takes an answer of the service; what the stream has said of the page is newer. */
  learn(path: string, count: number): void {
    if (!this.pages.has(path)) this.pages.set(path, count);
  }
}
