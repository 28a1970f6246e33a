/** HTTP client for one site's API; addresses are relative, so a proxy may serve it under any prefix. */

import { isLocalhost } from "./localhost.js";

const TOKEN_KEY = "presence-token ";
const OPERATOR_KEY = "presence-operator";

/**
 * Runs `access` on sessionStorage; returns null where the browser denies access, as in a third-party frame.
 *
 * @template T
 * @param {(storage: Storage) => T} access
 */
function withSessionStorage(access) {
  try {
    return access(sessionStorage);
  } catch {
    return null;
  }
}

export class SiteApi {
  #token = "";
  // Behind the #, which browsers send to nobody.
  #share = new URLSearchParams(location.hash.slice(1)).get("share") ?? "";

  /** @param {string} site @param {string} root URL of the service, relative to the page */
  constructor(site, root) {
    this.site = site;
    this.root = new URL(root, document.baseURI);
  }

  /** The URL of a resource of the site. @param {string} path @param {Record<string, string>} [query] */
  url(path, query = {}) {
    return `${this.address(path)}?${new URLSearchParams(query)}`;
  }

  /** The same without a query. @param {string} path */
  address(path) {
    return new URL(`v1/sites/${this.site}/${path}`, this.root).href;
  }

  /** The script tag for a page of the site; on localhost it also counts localhost. */
  get scriptTag() {
    const local = isLocalhost() ? " data-allow-localhost" : "";
    const { name = "presence.js" } = document.getElementById("script-tag")?.dataset ?? {};
    return `<script defer src="${new URL(name, this.root)}" data-site="${this.site}"${local}></script>`;
  }

  /** Whether the page's address has a share token, which only reads. */
  get isShared() {
    return this.#share !== "";
  }

  /** The token of a private site: that of the address, or one that was entered, kept for this tab only. */
  get token() {
    // No other one instead: it may open more, and a link to share is made with what the address has.
    if (this.isShared) return /^[\x21-\x7e]+$/.test(this.#share) ? this.#share : ""; // what a header can carry
    return withSessionStorage((storage) => storage.getItem(TOKEN_KEY + this.site)) ?? (this.operatorToken || this.#token);
  }

  set token(token) {
    this.#token = token;
    withSessionStorage((storage) => storage.setItem(TOKEN_KEY + this.site, token));
  }

  /** A token that has proven to be the operator's, which opens all sites, kept for this tab only; or empty. */
  get operatorToken() {
    return withSessionStorage((storage) => storage.getItem(OPERATOR_KEY)) ?? "";
  }

  set operatorToken(token) {
    withSessionStorage((storage) => (token ? storage.setItem(OPERATOR_KEY, token) : storage.removeItem(OPERATOR_KEY)));
  }

  /** Authorization for a private site. @returns {Record<string, string>} */
  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /**
   * GETs JSON; null when the request fails, which the stream reports.
   *
   * @param {string} path
   * @param {Record<string, string>} [query]
   */
  async fetchJson(path, query) {
    try {
      const response = await fetch(this.url(path, query), { headers: this.headers(), credentials: "omit" });
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }
}
