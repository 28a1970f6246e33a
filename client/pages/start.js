/** The start page: pick a name, copy the script tag, see the first heartbeat arrive. */

import { SiteApi } from "./api.js";
import { copyOnClick } from "./copy.js";
import { byId, setText } from "./dom.js";
import { openEventStream } from "./event_stream.js";
import { formatPeople, readablePath } from "./format.js";
import { showLocalhostNote } from "./localhost.js";
import { copyTexts } from "./messages.js";
import { say } from "./start_messages.js";
import { createTroubleshooting } from "./troubleshooting.js";

const SITE_NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;
const PLACEHOLDER = "your-site";
const TYPING_MS = 400;
const lang = new URLSearchParams(location.search).get("lang");
const keptLanguage = lang ? `?${new URLSearchParams({ lang })}` : "";

const nameField = /** @type {HTMLInputElement} */ (byId("site"));
const areSitesListed = byId("form").dataset.sites === "listed";
const firstHeartbeat = byId("first-heartbeat");
const troubleshooting = createTroubleshooting(byId("troubleshooting"));
let api = new SiteApi(nameField.value, "./");
let hasNumbers = false;
/** @type {{restart: () => void, close: () => void} | null} */
let stream = null;
let timer = 0;

/**
 * Shows an error under the field, with a name to use instead where there is one.
 *
 * @param {string} text
 * @param {string} [suggestion]
 */
function showError(text, suggestion = "") {
  nameField.setAttribute("aria-invalid", String(!!text));
  byId("site-error").hidden = !text;
  setText(byId("site-error-text"), text);
  const button = byId("use-suggestion");
  button.hidden = !suggestion;
  button.dataset.name = suggestion;
  setText(button, suggestion && say("use", { name: suggestion }));
}

/** A valid name similar to a text, such as that of a pasted URL; "" if none. @param {string} text */
function suggestName(text) {
  const name = text
    .trim()
    .replace(/^[a-z]+:\/\/([^/?#]*).*$/is, "$1")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 63)
    .replace(/[^a-z0-9]+$/, "");
  return SITE_NAME.test(name) ? name : "";
}

/** @param {string} text @param {"waiting" | "found" | "error" | "idle"} state */
function showState(text, state) {
  setText(byId("first-heartbeat-text"), text);
  firstHeartbeat.dataset.state = state;
  if (state === "waiting") troubleshooting.start();
  else troubleshooting.stop();
  byId("stats-link").hidden = state !== "found";
}

/** Handles an event of the site's stream. @param {import("./event_stream.js").Message} message */
function handleMessage({ event, data }) {
  const update = JSON.parse(data);
  if (event === "snapshot") {
    hasNumbers = true;
    showError("");
    byId("copy").hidden = false;
    if (update.activeVisitors) showState(say("works", { people: formatPeople(update.activeVisitors), site: api.site }), "found");
    else if (update.trackingSince) showState(say("nobodyNow", { site: api.site }), "found");
    else showState(say("waiting", { site: api.site }), "waiting");
  } else if (update.arrivals) {
    const page = update.feed?.find((/** @type {{type: string}} */ { type }) => type === "joined")?.path;
    showState(say("arrived", { page: page ? readablePath(page) : api.site }), "found");
  }
}

/** @param {import("./event_stream.js").ConnectionStatus} status */
function handleStatus({ phase, status }) {
  if (phase === "unauthorized") {
    // The service does not tell a private site from one that is not there.
    showState(say("privateSite", { site: api.site }), "found");
  } else if (phase === "retrying" && status === 404) {
    byId("copy").hidden = true;
    showError(say("notListed", { site: api.site }));
    showState(say("enterListed"), "idle");
  } else if (phase === "retrying") {
    showState(
      hasNumbers || status === 0
        ? say("retryNoResponse")
        : say("retryFailed", { status: String(status) }),
      "error",
    );
  }
}

function watchSite() {
  clearTimeout(timer);
  stream?.close();
  stream = null;
  hasNumbers = false;
  troubleshooting.stop(); // it was for the previous site
  const name = nameField.value;
  const isValid = SITE_NAME.test(name);
  showError(name && !isValid ? say("invalid") : "", isValid ? "" : suggestName(name));
  api = new SiteApi(isValid ? name : PLACEHOLDER, "./");
  showSnippets();
  // Where sites are listed, the stream tells whether this is one of them.
  byId("copy").hidden = !isValid || areSitesListed;
  if (!isValid) return showState(say(name ? "correctName" : "nameFirst"), "idle");
  showState(say("waiting", { site: api.site }), "waiting");
  timer = setTimeout(() => {
    stream = openEventStream({
      url: () => api.url("live", { feed: "1" }),
      headers: () => ({}),
      fetchSnapshot: () => api.fetchJson("stats"),
      onMessage: handleMessage,
      onStatus: handleStatus,
      onActivity: () => {},
    });
  }, TYPING_MS);
}

function showSnippets() {
  setText(byId("script-tag"), api.scriptTag);
  setText(byId("troubleshooting-site"), api.site);
  byId("stats-link").setAttribute("href", `sites/${api.site}${keptLanguage}`);
  const heartbeat = `{"sessionId": "my-first-session", "currentPath": "/hello"}`;
  setText(byId("curl-heartbeat"), `curl -i ${api.address("heartbeat")} \\\n  -d '${heartbeat}'`);
  setText(byId("curl-stats"), `curl ${api.address("stats")}`);
}

showLocalhostNote();
copyOnClick(byId("copy"), byId("script-tag"), copyTexts());
byId("form").addEventListener("submit", (event) => event.preventDefault());
nameField.addEventListener("input", watchSite);
byId("use-suggestion").addEventListener("click", () => {
  nameField.value = byId("use-suggestion").dataset.name ?? "";
  nameField.focus();
  watchSite();
});
watchSite();
