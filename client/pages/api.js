/** The API of this service, for one site, wherever a proxy has put it. */

import { isLocalhost } from "./localhost.js";

const TOKEN_KEY = "presence-token ";

/**
 * What a tab remembers, or null: in a frame of another site a browser may refuse it.
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

  /** @param {string} site @param {string} root where the service is, seen from the page */
  constructor(site, root) {
    this.site = site;
    this.root = new URL(root, document.baseURI);
  }

  /** An address of the site's. @param {string} path @param {Record<string, string>} [query] */
  url(path, query = {}) {
    return `${this.address(path)}?${new URLSearchParams(query)}`;
  }

  /** An address of the site's as text, without a query. @param {string} path */
  address(path) {
    return new URL(`v1/sites/${this.site}/${path}`, this.root).href;
  }

  /** The line that makes a page count its visitors here; where this is tried out, on localhost too. */
  get scriptTag() {
    const local = isLocalhost() ? " data-allow-localhost" : "";
    return `<script defer src="${new URL("presence.js", this.root)}" data-site="${this.site}"${local}></script>`;
  }

  /** The token of a private site; of this tab only, and never in an address. */
  get token() {
    return withSessionStorage((storage) => storage.getItem(TOKEN_KEY + this.site)) ?? this.#token;
  }

  set token(token) {
    this.#token = token;
    withSessionStorage((storage) => storage.setItem(TOKEN_KEY + this.site, token));
  }

  /** What opens a private site. @returns {Record<string, string>} */
  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /**
   * An response's JSON, or null where it is refused or does not come: the stream tells why.
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
