/** The pill: how many are here, or are left by a filter, in a line of another page. */

import { SiteApi } from "./api.js";
import { byId, setText } from "./dom.js";
import { openEventStream } from "./event_stream.js";
import { readFilters } from "./filters.js";
import { formatNumber } from "./format.js";
import { say } from "./messages.js";
import { Model } from "./model.js";
import { nowWhere } from "./now_where.js";

const REFUSED_RETRY_MS = 60_000;
const REFRESH_MS = 15_000;

const api = new SiteApi(document.body.dataset.site ?? "", "../");
const filters = readFilters();
const { page, country, source } = filters;
/** @type {Model | null} */
let model = null;

let isStale = false;

function show() {
  if (!model) return;
  const count = model.countOf(filters);
  setText(byId("count"), formatNumber(count));
  setText(byId("noun"), nowWhere(count, filters));
}

const isLive = () => document.documentElement.dataset.connection === "live";

/** Counts countries anew: of those who come and go at once a change names the last ones only. */
async function refresh() {
  if (!isStale || !isLive() || document.hidden) return;
  isStale = false;
  const numbers = await api.fetchJson("stats");
  isStale ||= !numbers;
  if (!numbers || !isLive()) return; // or it is not public any more
  model?.refresh(numbers);
  show();
}

const stream = openEventStream({
  url: () => api.url("live", { ...(page !== null && { path: page }), ...(country && { feed: "1" }) }),
  headers: () => api.headers(),
  fetchSnapshot: () => api.fetchJson("stats"),
  onMessage: ({ event, data }) => {
    const update = JSON.parse(data);
    if (event === "snapshot") model = new Model(update);
    else model?.apply(update);
    isStale ||= event === "change";
    show();
  },
  onStatus: ({ phase }) => {
    // A new attempt does not make old numbers current.
    if (phase !== "connecting") document.documentElement.dataset.connection = phase;
    if (phase !== "unauthorized") return;
    setText(byId("count"), "–");
    setText(byId("noun"), say("notPublicShort"));
    setTimeout(() => stream.restart(), REFUSED_RETRY_MS);
  },
  onActivity: () => {},
});

if (country) setInterval(refresh, REFRESH_MS * (0.9 + Math.random() / 5));
const link = /** @type {HTMLAnchorElement} */ (byId("pill"));
const lang = new URLSearchParams(location.search).get("lang");
link.search = `${new URLSearchParams({ ...(page !== null && { page }), ...(country && { country }), ...(source && { source }), ...(lang && { lang }) })}`;
if (api.isShared) link.hash = location.hash;
