/** Getting started: a name, the script tag, and the first heartbeat as it comes in. */

import { Api } from "./api.js";
import { byId, copies, setText } from "./dom.js";
import { hint } from "./troubleshooting.js";
import { tellLocal } from "./localhost.js";
import { liveStream } from "./event_stream.js";
import { people, readable } from "./format.js";

const SITE = /^[a-z0-9][a-z0-9.-]{0,62}$/;
const TYPING_MS = 400;

const name = /** @type {HTMLInputElement} */ (byId("site"));
const found = byId("found");
const help = hint(byId("hint"));
let api = new Api(name.value, "./");
let hasNumbers = false;
/** @type {{restart: () => void, close: () => void} | null} */
let stream = null;
let timer = 0;

/** @param {string} text @param {"waiting" | "seen" | "trouble" | "idle"} state */
function tell(text, state) {
  setText(byId("found-text"), text);
  found.dataset.state = state;
  if (state === "waiting") help.wait();
  else help.stop();
  byId("stats-link").hidden = state !== "seen";
}

/** What the service says of the site. @param {import("./event_stream.js").Message} message */
function hear({ event, data }) {
  const told = JSON.parse(data);
  if (event === "snapshot") {
    hasNumbers = true;
    if (told.activeVisitors) tell(`It works: ${people(told.activeVisitors)} on ${api.site} right now.`, "seen");
    else if (told.trackingSince) tell(`${api.site} has been counted before. Nobody is there right now.`, "seen");
    else tell(`Waiting for the first heartbeat of ${api.site} …`, "waiting");
  } else if (told.arrivals) {
    const page = told.feed?.find((/** @type {{type: string}} */ { type }) => type === "joined")?.path;
    tell(`It works: somebody has just come to ${page ? readable(page) : api.site}.`, "seen");
  }
}

/** @param {import("./event_stream.js").Standing} standing */
function stand({ phase, status }) {
  if (phase === "locked") {
    tell(`${api.site} is private: its page asks for the token.`, "seen");
  } else if (phase === "waiting") {
    tell(
      status === 404
        ? `The operator has listed the sites of this service, and ${api.site} is none of them.`
        : hasNumbers || status === 0
          ? "The service does not answer; trying again …"
          : `The service refuses for now (${status}); trying again …`,
      "trouble",
    );
  }
}

function watch() {
  stream?.close();
  stream = null;
  hasNumbers = false;
  help.stop(); // what was waited for is another site
  name.setAttribute("aria-invalid", String(!!name.value && !SITE.test(name.value)));
  if (!name.value) return tell("First name your site, above.", "idle");
  if (!SITE.test(name.value)) return tell("A name is made of a-z, 0-9, dots and dashes.", "trouble");
  api = new Api(name.value, "./");
  showName();
  tell(`Waiting for the first heartbeat of ${api.site} …`, "waiting");
  timer = setTimeout(() => {
    stream = liveStream({
      url: () => api.url("live", { feed: "1" }),
      headers: () => ({}),
      onMessage: hear,
      onStanding: stand,
      onSign: () => {},
    });
  }, TYPING_MS);
}

function showName() {
  setText(byId("tag"), api.tag);
  setText(byId("hint-site"), api.site);
  byId("stats-link").setAttribute("href", `sites/${api.site}`);
  const heartbeat = `{"sessionId": "my-first-session", "currentPath": "/hello"}`;
  setText(byId("curl-beat"), `curl -i ${api.address("heartbeat")} \\\n  -d '${heartbeat}'`);
  setText(byId("curl-stats"), `curl ${api.address("stats")}`);
}

tellLocal();
copies(byId("copy"), byId("tag"));
byId("form").addEventListener("submit", (event) => event.preventDefault());
name.addEventListener("input", () => {
  clearTimeout(timer);
  watch();
});
watch();
