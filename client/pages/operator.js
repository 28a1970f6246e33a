/** Finds out whether the reader is the operator, who then has a switcher of sites in the header. */

import { byId } from "./dom.js";

const loadSwitcher = () => import("./sites.js");

/**
 * @param {import("./api.js").SiteApi} api
 * @param {{ask: () => void, onRefused: () => void}} handlers
 *   `ask`: lets an operator enter the token, where the address wants that (`#operator`); `onRefused`: it is none
 */
export function createOperator(api, { ask, onRefused }) {
  const button = byId("sites-open");
  /** @type {(() => void) | null} */
  let openSwitcher = null;
  let isAsked = false;

  const show = () => (button.hidden = !api.operatorToken);
  const forget = () => {
    api.operatorToken = "";
    show();
  };

  button.addEventListener("click", async () => {
    try {
      openSwitcher ??= (await loadSwitcher()).createSwitcher(api, forget);
    } catch {
      return; // offline: the page says so
    }
    openSwitcher();
  });

  return {
    /** On a page that has no token: once the reader may be asked. */
    start: () => {
      show();
      isAsked = location.hash === "#operator" && !api.operatorToken;
      if (isAsked) ask();
    },
    /** Tries a token that was entered: a site's own opens this site only. @param {string} token */
    prove: async (token) => {
      const sites = await loadSwitcher().then(({ fetchSites }) => fetchSites(api, token), () => undefined);
      if (token !== api.token) return; // another one was entered meanwhile
      if (sites) {
        api.operatorToken = token;
        show();
      } else if (sites === null && isAsked) onRefused();
    },
  };
}
