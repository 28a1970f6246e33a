/** The site's numbers: a snapshot and the changes since. */

/**
 * @typedef {{path: string, count: number}} PathCount
 * @typedef {{path: string, views: number}} PathViews
 * @typedef {{country: string | null, count: number}} CountryCount
 * @typedef {{latitude: number, longitude: number, city: string | null, country: string | null, count: number}} Place
 * @typedef {{type: "joined" | "moved" | "left", path: string, at: number, from?: string, country?: string, reason?: string}} SessionEvent
 *
 * @typedef {object} Snapshot
 * @property {number} activeVisitors
 * @property {PathCount[]} activeByPath
 * @property {number} totalPageViews
 * @property {number} uniqueVisitors
 * @property {number} uniqueVisitorsToday
 * @property {number | null} trackingSince
 * @property {PathViews[]} pageStats
 * @property {number} totalPaths
 * @property {CountryCount[]} activeByCountry
 * @property {Place[]} visitorLocations
 * @property {number} sessionTimeoutMs
 * @property {number} asOf
 * @property {number} [activeUsers]  of sites that know who somebody is
 * @property {{source: string | null, count: number}[]} [activeBySource]  of sites whose pages say how people came
 * @property {{campaign: string, count: number}[]} [activeByCampaign]
 * @property {{device: string | null, count: number}[]} [activeByDevice]
 * @property {SessionEvent[]} [feed]
 *
 * @typedef {Pick<Snapshot, "activeVisitors" | "activeByPath" | "totalPageViews" | "uniqueVisitors" | "asOf" | "feed" | Came>} Change
 * @typedef {"activeBySource" | "activeByCampaign" | "activeByDevice"} Came  told whole wherever it has changed
 */

export class Model {
  /** The latest numbers; fields that changes do not carry are those of the last snapshot. @type {Snapshot} */
  numbers;
  /** @type {Map<string, number>} */
  #pages = new Map();
  /** @type {Map<string | null, number>} */
  #countries = new Map();
  /** How many were in each country when the places were told. @type {CountryCount[]} */
  #placed = [];

  /** @param {Snapshot} snapshot */
  constructor(snapshot) {
    this.numbers = snapshot;
    this.replace(snapshot);
  }

  /** Replaces all numbers. @param {Snapshot} snapshot */
  replace(snapshot) {
    this.numbers = snapshot;
    this.#pages = new Map(snapshot.activeByPath.map(({ path, count }) => [path, count]));
    this.#setCountries(snapshot.activeByCountry);
  }

  /** @param {CountryCount[]} counts */
  #setCountries(counts) {
    this.#placed = counts;
    this.#countries = new Map(counts.map(({ country, count }) => [country, count]));
  }

  /** Updates what changes do not carry: countries, places, top pages. @param {Snapshot} later */
  refresh(later) {
    const { pageStats, totalPaths, visitorLocations, uniqueVisitorsToday, trackingSince, activeUsers, activeByCountry } = later;
    Object.assign(this.numbers, { pageStats, totalPaths, visitorLocations, uniqueVisitorsToday, trackingSince, activeUsers });
    this.#setCame(later);
    this.#setCountries(activeByCountry);
  }

  /** @param {Pick<Snapshot, Came>} numbers */
  #setCame({ activeBySource, activeByCampaign, activeByDevice }) {
    Object.assign(this.numbers, { activeBySource, activeByCampaign, activeByDevice });
  }

  /** @param {Change} change */
  apply(change) {
    const { activeVisitors, totalPageViews, uniqueVisitors, asOf } = change;
    const newcomers = uniqueVisitors - this.numbers.uniqueVisitors;
    Object.assign(this.numbers, { activeVisitors, totalPageViews, uniqueVisitors, asOf });
    if (change.activeBySource) this.#setCame(change);
    this.numbers.trackingSince ??= asOf;
    this.numbers.uniqueVisitorsToday += Math.max(0, newcomers); // a new visitor is new today
    for (const { path, count } of change.activeByPath) {
      if (count) this.#pages.set(path, count);
      else this.#pages.delete(path);
    }
    for (const { type, country = null } of change.feed ?? []) {
      const step = type === "joined" ? 1 : type === "left" ? -1 : 0;
      this.#countries.set(country, Math.max(0, (this.#countries.get(country) ?? 0) + step));
    }
  }

  /** Visitors on a page; 0 if unknown. @param {string} path */
  countOn(path) {
    return this.#pages.get(path) ?? 0;
  }

  /**
   * Visitors that the filters leave. Nobody tells how many of a page are in a country or came from a source: with
   * several, those of the first of page, country and source.
   *
   * @param {import("./filters.js").Filters} filters
   */
  countOf({ page, country, source }) {
    if (page !== null) return this.countOn(page);
    if (country === null && source !== null) return this.sources().get(source) ?? 0;
    return country === null ? this.numbers.activeVisitors : (this.#countries.get(country) ?? 0);
  }

  /** Views of a page; null: not known, for only those of the most viewed are told. @param {string} path */
  viewsOf(path) {
    const { pageStats, totalPaths } = this.numbers;
    const found = pageStats.find((page) => page.path === path);
    if (found) return found.views;
    // A page that is not listed has none only where all are listed, and nobody has come to it since they were.
    const areAll = pageStats.length >= totalPaths && !pageStats.some((page) => page.path === "__other__");
    return areAll && this.countOn(path) === 0 ? 0 : null;
  }

  /** Whether the count of a page is known, so that 0 means nobody. @param {string} path */
  knowsCount(path) {
    return this.#pages.has(path) || this.remainder(this.pages(Infinity)) === 0;
  }

  /** The busiest pages, sorted as by the service: by count, then by path. @param {number} limit */
  pages(limit) {
    return ranked(this.#pages)
      .filter(([, count]) => count > 0)
      .slice(0, limit);
  }

  /** Visitors on all pages but these. @param {[path: string, count: number][]} rows */
  remainder(rows) {
    const listed = rows.reduce((sum, [, count]) => sum + count, 0);
    return Math.max(0, this.numbers.activeVisitors - listed);
  }

  /**
   * The places of a country or, with null, of the whole site; and how many are elsewhere: their place is
   * not known, or not among those with most people, which are all that is told.
   *
   * @param {string | null} country
   */
  placesIn(country) {
    /** @param {{country: string | null}} row */
    const isIn = (row) => country === null || row.country === country;
    const places = this.numbers.visitorLocations.filter(isIn);
    return { places, elsewhere: Math.max(0, sumOf(this.#placed.filter(isIn)) - sumOf(places)) };
  }

  /** Visitors by source; `--`: they came directly. Empty: no page says it. @returns {Map<string, number>} */
  sources() {
    return new Map(this.numbers.activeBySource?.map(({ source, count }) => [source ?? "--", count]));
  }

  /** @returns {Map<string, number>} */
  campaigns() {
    return new Map(this.numbers.activeByCampaign?.map(({ campaign, count }) => [campaign, count]));
  }

  /** @returns {Map<string, number>} */
  devices() {
    return new Map(this.numbers.activeByDevice?.map(({ device, count }) => [device ?? "--", count]));
  }

  /** Countries with visitors; null: unknown. */
  countries() {
    return ranked(this.#countries).filter(([, count]) => count > 0);
  }
}

/**
 * @template {string | null} K
 * @param {Map<K, number>} counts
 * @returns {[K, number][]}
 */
function ranked(counts) {
  return [...counts].sort(([a, m], [b, n]) => n - m || ((a ?? "") < (b ?? "") ? -1 : 1));
}

/** @param {{count: number}[]} rows */
const sumOf = (rows) => rows.reduce((sum, { count }) => sum + count, 0);
