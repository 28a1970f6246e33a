/** Says how the connection stands: live, lost, refused or locked, and what the numbers are worth. */

import { byId, setText } from "./dom.js";
import { ago, timeWithSeconds } from "./format.js";

/** @typedef {import("./event_stream.js").Standing} Standing */

/**
 * What a status means to somebody who only wants to see numbers.
 *
 * @param {number} status
 * @param {string} site
 * @param {boolean} hasNumbers
 * @returns {[string, string]}
 */
function reason(status, site, hasNumbers) {
  switch (status) {
    case 0:
      return [hasNumbers ? "Connection lost." : "The service does not answer.", ""];
    case 404:
      return [`There is no site “${site}” here.`, "This service counts only the sites that its operator has listed."];
    case 429:
      return ["Too many at once.", "Your network address has asked for more than this service allows one address."];
    case 503:
      return ["The service cannot reach its database.", ""];
    default:
      return [`The service answers with an error, ${status}.`, ""];
  }
}

/**
 * Shows it, and keeps the seconds counting.
 *
 * @param {string} site
 * @param {{onRetry: () => void, onToken: (token: string) => void, onChange: (standing: Standing, text: string) => void}} told
 *   `onChange` is called with a sentence for whoever cannot see it
 */
export function standing(site, { onRetry, onToken, onChange }) {
  const root = document.documentElement;
  const unlock = byId("unlock");
  const token = /** @type {HTMLInputElement} */ (byId("token"));
  /** @type {Standing} */
  let present = { phase: "connecting", status: 0, retryAt: 0 };
  /** When the server last gave a sign; 0: it never has. */
  let signAt = 0;
  /** @type {Standing | null} */
  let trouble = null;

  const tick = () => {
    const shown = present.phase === "live" ? `Live · updated ${ago(Date.now() - signAt)}` : "";
    if (shown) return setText(byId("standing-text"), shown);
    if (!trouble) return;
    const [, text] = reason(trouble.status, site, signAt > 0);
    const seconds = Math.max(0, Math.ceil((trouble.retryAt - Date.now()) / 1000));
    const parts = [text];
    if (signAt) parts.push(`These numbers are from ${timeWithSeconds(signAt)}.`);
    if (trouble.status !== 404) {
      parts.push(present.phase === "connecting" || !seconds ? "Trying again now." : `Trying again in ${seconds} s.`);
    }
    setText(byId("trouble-text"), parts.filter(Boolean).join(" "));
  };

  /** @param {Standing} next */
  const show = (next) => {
    const isNews = next.phase !== present.phase || next.status !== present.status;
    present = next;
    if (next.phase === "waiting") trouble = next;
    if (next.phase === "live" || next.phase === "locked") trouble = null;
    // A new attempt is no better news than the last: what was said stays until it succeeds.
    root.dataset.standing = trouble ? "waiting" : next.phase;
    byId("trouble").hidden = !trouble;
    unlock.hidden = next.phase !== "locked";
    if (trouble) {
      const [title] = reason(trouble.status, site, signAt > 0);
      setText(byId("trouble-title"), title);
      setText(byId("standing-text"), signAt ? "Not live" : "No numbers");
    } else if (next.phase !== "live") {
      setText(byId("standing-text"), next.phase === "locked" ? "Private" : "Connecting");
    }
    tick();
    if (!isNews) return;
    if (next.phase === "locked") {
      if (next.status === 403 || token.value) refuse();
      token.value = "";
      token.focus();
    }
    const sentence = `${byId("trouble-title").textContent} ${byId("trouble-text").textContent}`;
    onChange(next, trouble ? sentence : "");
  };

  const refuse = () => {
    setText(byId("unlock-text"), "That token does not open it.");
    token.setAttribute("aria-invalid", "true");
  };

  unlock.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = token.value.trim();
    if (/^[\x21-\x7e]+$/.test(given)) onToken(given);
    else refuse(); // no header could carry it
  });
  byId("retry").addEventListener("click", onRetry);
  setInterval(tick, 1000);

  return {
    show,
    /** The server is there. */
    sign: () => {
      signAt = Date.now();
      if (present.phase === "live") tick();
    },
    /** Whether what is shown is what is so. */
    isLive: () => present.phase === "live",
  };
}
