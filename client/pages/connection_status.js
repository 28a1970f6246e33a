/** Shows the state of the connection (live, lost, refused, private) and how old the numbers are. */

import { byId, setText } from "./dom.js";
import { formatAge, formatTimeWithSeconds } from "./format.js";
import { say } from "./messages.js";

/** @typedef {import("./event_stream.js").ConnectionStatus} ConnectionStatus */

/**
 * Explains an HTTP status to a reader of the page: a title and a sentence.
 *
 * @param {number} status
 * @param {string} site
 * @param {boolean} hasNumbers
 * @returns {[string, string]}
 */
function describeStatus(status, site, hasNumbers) {
  switch (status) {
    case 0:
      return [say(hasNumbers ? "lost" : "noResponse"), ""];
    case 404:
      return [say("noSite", { site }), say("noSiteWhy")];
    case 429:
      return [say("tooMany"), say("tooManyWhy")];
    case 503:
      return [say("noDatabase"), ""];
    default:
      return [say("failed", { status: String(status) }), ""];
  }
}

/**
 * Binds the status elements of the page and updates their seconds.
 *
 * @param {string} site
 * @param {{canUnlock: boolean, onRetry: () => void, onToken: (token: string) => void, onChange: (status: ConnectionStatus, text: string) => void}} handlers
 *   `canUnlock`: a reader may enter the token of a private site; `onChange` also gets a sentence for screen readers
 */
export function createConnectionStatus(site, { canUnlock, onRetry, onToken, onChange }) {
  const root = document.documentElement;
  const tokenForm = byId("token-form");
  const token = /** @type {HTMLInputElement} */ (byId("token"));
  /** The reader wants to enter a token, though the numbers are public. */
  let isAsked = false;
  /** @type {ConnectionStatus} */
  let current = { phase: "connecting", status: 0, retryAt: 0 };
  /** When the server last sent anything, in ms; 0: never. */
  let lastActivityAt = 0;
  /** @type {ConnectionStatus | null} */
  let problem = null;

  const tick = () => {
    const shown = current.phase === "live" ? say("live", { age: formatAge(Date.now() - lastActivityAt) }) : "";
    if (shown) return setText(byId("connection-text"), shown);
    if (!problem) return;
    const [, text] = describeStatus(problem.status, site, lastActivityAt > 0);
    const seconds = Math.max(0, Math.ceil((problem.retryAt - Date.now()) / 1000));
    const parts = [text];
    if (lastActivityAt) parts.push(say("numbersFrom", { time: formatTimeWithSeconds(lastActivityAt) }));
    if (problem.status !== 404) {
      parts.push(current.phase === "connecting" || !seconds ? say("tryingNow") : say("tryingIn", { n: seconds }));
    }
    setText(byId("connection-error-text"), parts.filter(Boolean).join(" "));
  };

  /** @param {ConnectionStatus} next */
  const show = (next) => {
    const hasChanged = next.phase !== current.phase || next.status !== current.status;
    current = next;
    if (next.phase === "retrying") problem = next;
    if (next.phase === "live" || next.phase === "unauthorized") problem = null;
    // Keep the message during a new attempt: it is only outdated once the attempt succeeds.
    root.dataset.connection = problem ? "retrying" : next.phase;
    byId("connection-error").hidden = !problem;
    tokenForm.hidden = (next.phase !== "unauthorized" && !isAsked) || !canUnlock;
    byId("private-note").hidden = next.phase !== "unauthorized" || canUnlock;
    if (problem) {
      const [title] = describeStatus(problem.status, site, lastActivityAt > 0);
      setText(byId("connection-error-title"), title);
      setText(byId("connection-text"), say(lastActivityAt ? "notLive" : "noNumbers"));
    } else if (next.phase !== "live") {
      setText(byId("connection-text"), say(next.phase === "unauthorized" ? "private" : "connecting"));
    }
    tick();
    if (!hasChanged) return;
    if (next.phase === "unauthorized" && canUnlock) {
      if (next.status === 403 || token.value) rejectToken();
      token.value = "";
      token.focus();
    }
    const announcement = `${byId("connection-error-title").textContent} ${byId("connection-error-text").textContent}`;
    onChange(next, problem ? announcement : "");
  };

  const rejectToken = () => {
    setText(byId("token-form-text"), say("tokenWrong"));
    token.setAttribute("aria-invalid", "true");
  };

  tokenForm.addEventListener("submit", (event) => {
    event.preventDefault();
    const entered = token.value.trim();
    isAsked = false;
    if (/^[\x21-\x7e]+$/.test(entered)) onToken(entered);
    else rejectToken(); // not allowed in a header
  });
  byId("retry").addEventListener("click", onRetry);
  setInterval(tick, 1000);

  return {
    show,
    /** Lets the reader enter a token, to see more. @param {string} title @param {string} text */
    askForToken: (title, text) => {
      setText(byId("token-form-title"), title);
      setText(byId("token-form-text"), text);
      isAsked = true;
      tokenForm.hidden = false;
      token.focus();
    },
    rejectToken,
    /** Records that the server has sent something. */
    recordActivity: () => {
      lastActivityAt = Date.now();
      if (current.phase === "live") tick();
    },
    /** Whether the numbers are current. */
    isLive: () => current.phase === "live",
  };
}
