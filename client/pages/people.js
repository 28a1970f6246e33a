/** Who is here, as faces: only for readers with a token, and only of a site that knows its users. */

import { byId, element, setText } from "./dom.js";
import { formatAge } from "./format.js";
import { say } from "./messages.js";

const MAX_FACES = 12;

/** @typedef {import("../src/live_users.js").User} User */

/**
 * Binds the list of people of the page.
 *
 * @param {() => void} onAsk when the reader wants to enter a token
 * @param {boolean} canAsk
 */
export function createPeople(onAsk, canAsk) {
  /** By user id. @type {Map<string, User>} */
  const users = new Map();
  const list = byId("people-faces");
  const ask = byId("people-ask");
  let total = 0;
  let isKnown = false;
  ask.addEventListener("click", onAsk);
  /** Loaded when somebody is known. @type {typeof import("./faces.js") | null} */
  let faces = null;
  /** @type {Promise<unknown> | null} */
  let loading = null;

  /** @param {number} asOf */
  const showFaces = (asOf) => {
    if (!faces) {
      loading ??= import("./faces.js").then((loaded) => {
        faces = loaded;
        showFaces(asOf);
      }, () => (loading = null));
      return;
    }
    if (!isKnown) return;
    const shown = faces.facesOf({ users: [...users.values()], total, asOf, isConnected: true }, MAX_FACES, 0);
    list.replaceChildren(
      // No pictures: another host would learn who looks at this page, and its policy allows none.
      ...shown.map(({ key, text, style }) => {
        const user = users.get(key);
        const title = user ? `${user.name || user.userId}, ${asOf - user.since < 60_000 ? say("justNow") : formatAge(asOf - user.since)}` : say("moreFaces", { n: total - shown.length + 1 });
        const item = element("li", "", text);
        item.title = title;
        item.ariaLabel = title;
        item.tabIndex = 0;
        item.style.background = style.background ?? "";
        return item;
      }),
    );
  };

  /** @param {string} event @param {any} data */
  const apply = (event, data) => {
    if (event === "snapshot") {
      isKnown = Boolean(data.users);
      users.clear();
      for (const user of data.users ?? []) users.set(user.userId, user);
    } else if (event === "offline") users.delete(data.userId);
    else if (event === "online" || event === "moved") users.set(data.userId, data);
    total = data.totalUsers ?? total;
  };

  /** @param {number | undefined} activeUsers @param {number} asOf @param {boolean} isFiltered by page */
  const render = (activeUsers, asOf, isFiltered) => {
    // Without names only those of the whole site are known.
    const isTold = activeUsers !== undefined && (isKnown || !isFiltered);
    byId("people").hidden = !isTold;
    if (!isTold) return;
    const count = isKnown ? total : activeUsers;
    setText(byId("people-sum"), say("signedIn", { n: count }));
    ask.hidden = isKnown || !canAsk;
    if (isKnown) showFaces(asOf);
    else list.replaceChildren();
  };

  return { apply, render };
}
