/** The start page: pick a name, copy the script tag, see the first heartbeat arrive. */

import { SiteApi } from "./api.js";
import { byId, copyOnClick, setText } from "./dom.js";
import { openEventStream } from "./event_stream.js";
import { formatPeople, readablePath } from "./format.js";
import { showLocalhostNote } from "./localhost.js";
import { createTroubleshooting } from "./troubleshooting.js";

const SITE_NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;
const TYPING_MS = 400;

const nameField = /** @type {HTMLInputElement} */ (byId("site"));
const firstHeartbeat = byId("first-heartbeat");
const troubleshooting = createTroubleshooting(byId("troubleshooting"));
let api = new SiteApi(nameField.value, "./");
let hasNumbers = false;
/** @type {{restart: () => void, close: () => void} | null} */
let stream = null;
let timer = 0;

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
    if (update.activeVisitors) showState(`It works: ${formatPeople(update.activeVisitors)} on ${api.site} right now.`, "found");
    else if (update.trackingSince) showState(`${api.site} has had visitors before. Nobody is there right now.`, "found");
    else showState(`Waiting for the first heartbeat from ${api.site} …`, "waiting");
  } else if (update.arrivals) {
    const page = update.feed?.find((/** @type {{type: string}} */ { type }) => type === "joined")?.path;
    showState(`It works: somebody just arrived on ${page ? readablePath(page) : api.site}.`, "found");
  }
}

/** @param {import("./event_stream.js").ConnectionStatus} status */
function handleStatus({ phase, status }) {
  if (phase === "unauthorized") {
    showState(`${api.site} is private: its stats page asks for the token.`, "found");
  } else if (phase === "retrying") {
    showState(
      status === 404
        ? `The operator of this service has listed its sites, and ${api.site} is not one of them.`
        : hasNumbers || status === 0
          ? "The service is not responding; trying again …"
          : `The service responded with error ${status}; trying again …`,
      "error",
    );
  }
}

function watchSite() {
  stream?.close();
  stream = null;
  hasNumbers = false;
  troubleshooting.stop(); // it was for the previous site
  nameField.setAttribute("aria-invalid", String(!!nameField.value && !SITE_NAME.test(nameField.value)));
  if (!nameField.value) return showState("Name your site above first.", "idle");
  if (!SITE_NAME.test(nameField.value)) return showState("Use only lowercase letters, digits, dots and dashes.", "error");
  api = new SiteApi(nameField.value, "./");
  showSnippets();
  showState(`Waiting for the first heartbeat from ${api.site} …`, "waiting");
  timer = setTimeout(() => {
    stream = openEventStream({
      url: () => api.url("live", { feed: "1" }),
      headers: () => ({}),
      onMessage: handleMessage,
      onStatus: handleStatus,
      onActivity: () => {},
    });
  }, TYPING_MS);
}

function showSnippets() {
  setText(byId("script-tag"), api.scriptTag);
  setText(byId("troubleshooting-site"), api.site);
  byId("stats-link").setAttribute("href", `sites/${api.site}`);
  const heartbeat = `{"sessionId": "my-first-session", "currentPath": "/hello"}`;
  setText(byId("curl-heartbeat"), `curl -i ${api.address("heartbeat")} \\\n  -d '${heartbeat}'`);
  setText(byId("curl-stats"), `curl ${api.address("stats")}`);
}

showLocalhostNote();
copyOnClick(byId("copy"), byId("script-tag"));
byId("form").addEventListener("submit", (event) => event.preventDefault());
nameField.addEventListener("input", () => {
  clearTimeout(timer);
  watchSite();
});
watchSite();
