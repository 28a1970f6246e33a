/** The share tokens of a private site: make one, choose it, revoke it. Of a public site there is nothing to see. */

import { element, setText } from "./dom.js";
import { locale } from "./messages.js";
import { say } from "./panel_messages.js";

/**
 * @param {import("./api.js").SiteApi} api
 * @param {() => void} onChange
 */
export function createShareTokens(api, onChange) {
  const name = document.createElement("input");
  name.className = "field";
  name.required = true;
  name.pattern = "[a-z0-9][a-z0-9.\\-]{0,62}";
  name.placeholder = "lobby";
  name.spellcheck = false;
  name.autocomplete = "off";
  const list = document.createElement("ul");
  list.setAttribute("role", "list");
  const said = element("p", "muted");
  said.setAttribute("role", "status");
  const form = document.createElement("form");
  form.className = "options";
  form.append(element("label", "", `${say("tokenName")} `, name), element("button", "button primary", say("makeToken")));
  const node = element("section", "share-tokens", element("p", "", say("tokensWhy")), form, said, list);
  node.hidden = true;
  let isPrivate = false;
  /** Those made in this panel: the service does not keep them. @type {Map<string, string>} */
  const made = new Map();
  /** The token of the page's own address, or that made last. */
  let chosen = api.isShared ? api.token : "";

  /** @param {string} method @param {string} path */
  const ask = (method, path) => fetch(api.address(path), { method, headers: api.headers(), credentials: "omit", cache: "no-store" }).catch(() => null);

  const load = async () => {
    const open = await fetch(api.address("active"), { credentials: "omit", cache: "no-store" }).catch(() => null);
    if (!open) return;
    isPrivate = open.status === 401;
    node.hidden = !isPrivate || api.isShared;
    onChange();
    if (!node.hidden) await show();
  };

  const show = async () => {
    const answer = await ask("GET", "shares");
    if (!answer?.ok) return setText(said, say("tokensUnlisted"));
    const { shares } = await answer.json();
    list.replaceChildren(...shares.map((/** @type {{name: string, madeAt: number}} */ share) => row(share)));
  };

  /** @param {{name: string, madeAt: number}} share */
  const row = (share) => {
    const revoke = element("button", "button small", say("revoke"));
    revoke.setAttribute("type", "button");
    revoke.ariaLabel = say("revokeOne", { name: share.name });
    revoke.addEventListener("click", async () => {
      const answer = await ask("DELETE", `shares/${share.name}`);
      if (!answer?.ok && answer?.status !== 404) return setText(said, say("notRevoked", { name: share.name }));
      if (made.get(share.name) === chosen) chosen = "";
      made.delete(share.name);
      setText(said, say("revoked", { name: share.name }));
      await show();
      name.focus();
      onChange();
    });
    return element("li", "", element("bdi", "", share.name), element("span", "muted", new Date(share.madeAt).toLocaleDateString(locale)), revoke);
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await ask("POST", `shares/${name.value}`);
    if (answer?.status !== 201) {
      return setText(said, answer?.status === 409 ? say("nameTaken") : say("notMade"));
    }
    const { token } = await answer.json();
    made.set(name.value, token);
    chosen = token;
    setText(said, say("made", { name: name.value }));
    name.value = "";
    await show();
    onChange();
  });

  return { node, load, chosen: () => chosen, isPrivate: () => isPrivate };
}
