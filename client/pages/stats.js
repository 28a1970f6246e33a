/** The stats page: one stream in, every part of the page told. */

import { Api } from "./api.js";
import { board } from "./dashboard.js";
import { byId, copies, setText } from "./dom.js";
import { feed } from "./feed.js";
import { hint } from "./troubleshooting.js";
import { tellLocal } from "./localhost.js";
import { Model } from "./model.js";
import { past } from "./history.js";
import { announcer } from "./live_region.js";
import { standing } from "./connection_status.js";
import { liveStream } from "./event_stream.js";
import { number, people, readable } from "./format.js";

const COMPLETE_MS = 15_000; // what the stream does not tell is asked for this often, while it changes

const site = document.body.dataset.site ?? "";
const api = new Api(site, "../");
const query = new URLSearchParams(location.search);
const say = announcer(byId("said"));
const show = board(pick);
const history = past(api);
const happenings = feed();
const help = hint(byId("hint"));
/** @type {Model | null} */
let model = null;
/** The page that was chosen. */
let picked = pathOf(query.get("page"));
let isIncomplete = false;
let isPastKnown = false;
/** The service's clock, less this one's, ms. */
let aheadMs = 0;

const state = standing(site, {
  onRetry: () => stream.retry(),
  onToken: (token) => {
    api.token = token;
    stream.retry();
  },
  onChange: ({ phase }, sentence) => {
    if (sentence) say(sentence);
    if (phase === "locked") {
      api.token = ""; // it does not open this site, now or any more
      byId("board").hidden = byId("welcome").hidden = true;
    }
    if (phase !== "live") isPastKnown = false; // whatever happens until it is back
    showTitle();
  },
});

const stream = liveStream({
  url: () => api.url("live", { feed: "1", ...(picked !== null && { path: picked }) }),
  headers: () => api.headers(),
  onMessage: ({ event, data }) => {
    const told = JSON.parse(data);
    aheadMs = told.asOf - Date.now();
    if (event === "snapshot") begin(told);
    else if (event === "change" && model) go(model, told);
    if (!isPastKnown && model) history.restart(model.numbers);
    isPastKnown = true;
    showAll();
  },
  onStanding: state.show,
  onSign: state.sign,
});

/** @param {import("./model.js").Snapshot} snapshot */
function begin(snapshot) {
  if (model) model.replace(snapshot);
  else model = new Model(snapshot);
  happenings.replace(snapshot.feed ?? []);
  isPastKnown = false;
}

/** @param {Model} model @param {import("./model.js").Change} change */
function go(model, change) {
  model.apply(change);
  happenings.add(change.feed ?? []);
  history.add(change);
  isIncomplete = true;
}

function showAll() {
  if (!model) return;
  const { activeVisitors, trackingSince } = model.numbers;
  const isEmpty = !activeVisitors && trackingSince === null;
  byId("welcome").hidden = !isEmpty;
  byId("board").hidden = isEmpty;
  if (isEmpty) help.wait();
  else help.stop();
  show(model, picked);
  say(picked === null ? `${people(activeVisitors)} here` : `${people(model.on(picked))} on ${readable(picked)}`);
  showTitle();
}

function showTitle() {
  if (!model) return;
  const count = picked === null ? model.numbers.activeVisitors : model.on(picked);
  const where = picked === null ? "here" : `on ${readable(picked)}`;
  document.title = `${state.isLive() ? "" : "⚠ not live: "}${number(count)} ${where} · ${site}`;
}

/** Shows one page only; the same again, or null: the whole site. @param {string | null} path */
function pick(path) {
  picked = path === picked ? null : path;
  if (picked === null) query.delete("page");
  else query.set("page", picked);
  window.history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : ""));
  happenings.filter(picked);
  if (picked !== null && model && !model.knows(picked)) stream.restart();
  showAll();
}

async function complete() {
  if (!model || !state.isLive()) return;
  // Time goes on where nothing happens.
  history.add({ ...model.numbers, asOf: Date.now() + aheadMs });
  if (!isIncomplete || document.hidden) return;
  isIncomplete = false;
  const numbers = await api.ask("stats");
  if (!numbers) return;
  model.complete(numbers);
  showAll();
}

setText(byId("tag"), api.tag);
tellLocal();
copies(byId("copy"), byId("tag"));
byId("unfilter").addEventListener("click", () => pick(null));
if (picked !== null) happenings.filter(picked);
setInterval(complete, COMPLETE_MS * (0.9 + Math.random() / 5));

/**
 * A page as the service spells it, or null where it is none: what stands in the address may have
 * been written by hand.
 *
 * @param {string | null} text
 */
function pathOf(text) {
  const path = (text ?? "").replace(/[?#].*$/s, "").normalize("NFC").replace(/(?<=.)\/+$/, "");
  return /^\/(?!\/)/.test(path) && new TextEncoder().encode(path).length <= 512 ? path : null;
}
