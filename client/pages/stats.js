/** The stats page: one event stream feeds all parts of the page. */

import { SiteApi } from "./api.js";
import { createConnectionStatus } from "./connection_status.js";
import { createDashboard } from "./dashboard.js";
import { copyOnClick } from "./copy.js";
import { byId, setText } from "./dom.js";
import { openEventStream } from "./event_stream.js";
import { createFeed } from "./feed.js";
import { createFilters } from "./filters.js";
import { countWhere, formatNumber, formatPeople } from "./format.js";
import { createHistory } from "./history.js";
import { createLiveRegion } from "./live_region.js";
import { showLocalhostNote } from "./localhost.js";
import { Model } from "./model.js";
import { tellWholePaths } from "./path_text.js";
import { createOperator } from "./operator.js";
import { createPeople } from "./people.js";
import { followWidth } from "./phone_order.js";
import { copyTexts, say } from "./messages.js";
import { createTroubleshooting } from "./troubleshooting.js";

const REFUSED_RETRY_MS = 60_000;
const DAY_MS = 86_400_000;
const REFRESH_MS = 15_000; // how often to fetch what the stream does not carry, while the site is changing

const site = document.body.dataset.site ?? "";
const api = new SiteApi(site, "../");
const { mode } = document.documentElement.dataset;
const isEmbed = mode === "embed";
const announce = createLiveRegion(byId("live-region"));
const filters = createFilters(applyFilters);
const renderDashboard = createDashboard((name, value) => filters.toggle(name, value), browse);
/** Opens the panel with all of a list. @type {((name: import("./catalogues.js").Listed) => void) | null} */
let openBrowser = null;
/** Opens the panel for sharing. @type {((filters: import("./filters.js").Filters) => void) | null} */
let openShare = null;
const history = createHistory(api);
const feed = createFeed();
const troubleshooting = createTroubleshooting(byId("troubleshooting"));
const people = createPeople(() => connection.askForToken(say("namesTitle"), say("namesText")), mode === "page" && !api.isShared);
/** @type {Model | null} */
let model = null;
let isStale = false;
/** The moment of the last numbers that the stream does not carry. */
let wholeAsOf = 0;
let snapshotAsOf = 0;
let isHistoryLoaded = false;
/** Whether the stream also tells who is here, which needs a token. */
let withUsers = false;
/** The service's clock minus the local clock, in ms. */
let clockOffsetMs = 0;

const connection = createConnectionStatus(site, {
  canUnlock: !isEmbed && !api.isShared,
  onRetry: () => stream.retry(),
  onToken: (token) => {
    api.token = token;
    stream.restart();
    if (mode === "page") operator.prove(token);
  },
  onChange: ({ phase }, announcement) => {
    if (announcement) announce(announcement);
    if (phase === "unauthorized") {
      // It is wrong or no longer valid. A screen that nobody looks after asks again now and then.
      if (api.isShared) setTimeout(() => stream.restart(), REFUSED_RETRY_MS);
      else api.token = "";
      if (withUsers) {
        withUsers = false; // the numbers may be public
        queueMicrotask(() => stream.restart());
      }
      byId("dashboard").hidden = byId("share-open").hidden = byId("filters").hidden = byId("welcome").hidden = true;
    }
    if (phase !== "live") isHistoryLoaded = false; // the history will have a gap
    if (phase === "unauthorized") document.title = site; // the last number was somebody's who may read it
    else updateTitle();
  },
});

const operator = createOperator(api, {
  ask: () => connection.askForToken(say("operatorTitle"), say("operatorText")),
  onRefused: () => {
    api.token = "";
    operator.start();
    connection.rejectToken();
  },
});

const stream = openEventStream({
  url: () => {
    const { page } = filters.current;
    return api.url("live", { feed: "1", ...(withUsers && { users: "1" }), ...(page !== null && { path: page }) });
  },
  headers: () => api.headers(),
  fetchSnapshot: () => api.fetchJson("stats"),
  onMessage: ({ event, data, id }) => {
    const update = JSON.parse(data);
    clockOffsetMs = update.asOf - Date.now();
    people.apply(event, update);
    if (event === "snapshot") applySnapshot(update, !id);
    else if (event === "change" && model) applyChange(model, update);
    if (!isHistoryLoaded && model) history.reload(model.numbers);
    isHistoryLoaded = true;
    render();
  },
  onStatus: connection.show,
  onActivity: connection.recordActivity,
});

/** @param {import("./model.js").Snapshot} snapshot @param {boolean} isPolled every few seconds, unless the page slept meanwhile */
function applySnapshot(snapshot, isPolled) {
  if (!withUsers && api.token && !api.isShared && snapshot.activeUsers !== undefined) {
    withUsers = true;
    queueMicrotask(() => stream.restart());
  }
  if (model) model.replace(snapshot);
  else model = new Model(snapshot);
  feed.replace(snapshot.feed ?? []);
  const isSoonAfter = snapshot.asOf - snapshotAsOf < 60_000; // no minute is missing between
  wholeAsOf = snapshotAsOf = snapshot.asOf;
  if (isPolled && isSoonAfter && isHistoryLoaded) history.add(snapshot);
  else isHistoryLoaded = false;
}

/** @param {Model} model @param {import("./model.js").Change} change */
function applyChange(model, change) {
  model.apply(change);
  feed.add(change.feed ?? []);
  history.add(change);
  isStale = true;
}

function render() {
  if (!model) return;
  const { activeVisitors, trackingSince } = model.numbers;
  // An embed is for readers of a site, who do not install anything.
  const isEmpty = !isEmbed && !activeVisitors && trackingSince === null;
  byId("welcome").hidden = !isEmpty;
  byId("dashboard").hidden = byId("filters").hidden = byId("share-open").hidden = isEmpty;
  if (isEmpty) troubleshooting.start();
  else troubleshooting.stop();
  renderDashboard(model, filters.current);
  people.render(isEmbed ? undefined : model.numbers.activeUsers, Date.now() + clockOffsetMs, filters.current.page !== null);
  announce(countWhere(formatPeople(model.countOf(filters.current)), filters.current));
  updateTitle();
}

function updateTitle() {
  if (!model) return;
  const count = formatNumber(model.countOf(filters.current));
  document.title = `${connection.isLive() ? "" : say("notLiveTitle")}${countWhere(count, filters.current)} · ${site}`;
}

/** @param {import("./filters.js").Filters} before */
function applyFilters(before) {
  const { page } = filters.current;
  feed.filter(filters.current);
  const isOtherPage = page !== before.page;
  if (isOtherPage && (withUsers || (page !== null && model && !model.knowsCount(page)))) stream.restart();
  render();
}

/** Opens the panel with all of a list, whose script is fetched when it is first wanted. @param {import("./catalogues.js").Listed} name */
async function browse(name) {
  try {
    openBrowser ??= (await import("./browse.js")).createBrowser(api, choose);
  } catch {
    return; // offline: the page says so
  }
  openBrowser(name);
}

/** @param {import("./catalogues.js").Listed} name @param {string} value */
function choose(name, value) {
  if (value !== filters.current[name]) filters.toggle(name, value);
}

/** Carries the share token of this page's address over to its other views. */
function keepShare() {
  setText(byId("private-note"), say("linkEnded"));
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll(".wall-link, .page-link"))) link.hash = location.hash;
}

/** Opens the panel for sharing, whose script is fetched when it is first wanted. */
async function share() {
  try {
    openShare ??= (await import("./share.js")).createShare(api);
  } catch {
    return; // offline: the page says so
  }
  openShare(filters.current);
}

async function refresh() {
  if (!model || !connection.isLive()) return;
  const now = Date.now() + clockOffsetMs;
  // Move the chart on, even if nothing happens.
  history.add({ ...model.numbers, asOf: now });
  // At midnight the visitors of the day are others, even if nobody comes.
  const isOtherDay = Math.floor(now / DAY_MS) !== Math.floor(wholeAsOf / DAY_MS);
  if (!(isStale || isOtherDay) || document.hidden) return;
  isStale = false;
  const numbers = await api.fetchJson("stats");
  if (!numbers) {
    isStale = true;
    return;
  }
  wholeAsOf = numbers.asOf;
  model.refresh(numbers);
  render();
}

byId("share-open").addEventListener("click", share);
if (api.isShared) keepShare();
else if (mode === "page") operator.start();
setText(byId("script-tag"), api.scriptTag);
showLocalhostNote();
tellWholePaths();
followWidth();
if (mode === "wall") import("./wall.js").then(({ createWall }) => createWall(), () => {});
copyOnClick(byId("copy"), byId("script-tag"), copyTexts());
feed.filter(filters.current);
setInterval(refresh, REFRESH_MS * (0.9 + Math.random() / 5));
