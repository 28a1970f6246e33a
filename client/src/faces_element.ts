/**
 * `<presence-faces site="blog" path="/docs/x" user="fetchToken"></presence-faces>`: the people who
 * are on a page, as faces. Built as one file, presence-faces.js, which defines the element.
 */

import {
  DEFAULT_MAX,
  FOCUS_STYLE,
  LIST_STYLE,
  PICTURE_STYLE,
  TEXT_EVERY_MS,
  TIP_STYLE,
  facesOf,
  keepInView,
  labelOf,
  type Face,
} from "./faces.js";
import { watchLiveUsers, type LiveUsers } from "./live_users.js";
import { createTokenSource, type FetchUserToken, type TokenSource } from "./user_token.js";

/** Elements with the same function share its token, and those of one page a stream too. */
const sources = new WeakMap<FetchUserToken, TokenSource>();

const sourceOf = (user: FetchUserToken): TokenSource => {
  const source = sources.get(user) ?? createTokenSource(user);
  sources.set(user, source);
  return source;
};

const createItem = (): HTMLLIElement => {
  const item = document.createElement("li");
  const text = document.createElement("span");
  item.tabIndex = 0;
  text.setAttribute("role", "img");
  item.append(text);
  const tip = document.createElement("span");
  tip.ariaHidden = "true";
  Object.assign(tip.style, TIP_STYLE);
  item.onfocus = () => {
    tip.textContent = item.title;
    tip.style.translate = "";
    item.append(tip);
    keepInView(tip);
    Object.assign(item.style, FOCUS_STYLE);
  };
  item.onblur = () => {
    tip.remove();
    for (const name of Object.keys(FOCUS_STYLE)) item.style[name as "zIndex"] = "";
  };
  return item;
};

const renderPicture = (item: HTMLLIElement, avatar: string | null) => {
  if (item.dataset.avatar == (avatar ?? "")) return;
  item.dataset.avatar = avatar ?? "";
  item.querySelector("img")?.remove();
  if (!avatar) return;
  const image = document.createElement("img");
  image.alt = "";
  image.decoding = "async";
  image.referrerPolicy = "no-referrer";
  image.onerror = () => image.remove(); // the initials are below it
  Object.assign(image.style, PICTURE_STYLE);
  image.src = avatar;
  item.append(image);
};

/** On a server the file may be imported, and defines nothing. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

class PresenceFaces extends Base {
  static readonly observedAttributes = ["site", "path", "server", "user", "max", "label"];

  #user: FetchUserToken | undefined;
  #latest: LiveUsers | undefined;
  #latestAt = 0;
  #stop: (() => void) | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isQueued = false;
  readonly #list = document.createElement("ul");
  readonly #items = new Map<string, HTMLLIElement>();

  constructor() {
    super();
    this.#list.setAttribute("role", "list"); // Safari drops it for lists without bullets
    this.#list.setAttribute("part", "list");
    Object.assign(this.#list.style, LIST_STYLE);
    this.attachShadow({ mode: "open" }).append(this.#list);
  }

  /** Gives the token of the user; the attribute `user` names such a function of the window. */
  get user(): FetchUserToken | undefined {
    if (this.#user) return this.#user;
    const named = (window as unknown as Record<string, unknown>)[this.getAttribute("user") || ""];
    return typeof named == "function" ? (named as FetchUserToken) : undefined;
  }

  set user(user: FetchUserToken | undefined) {
    this.#user = user;
    this.#restart();
  }

  connectedCallback(): void {
    // A property that was set before the element was defined hides the accessor.
    if (Object.hasOwn(this, "user")) {
      const { user } = this;
      delete (this as { user?: unknown }).user;
      this.user = user;
    }
    this.#timer = setInterval(() => this.#render(), TEXT_EVERY_MS);
    this.#render();
    this.#restart();
  }

  disconnectedCallback(): void {
    clearInterval(this.#timer);
    this.#restart();
  }

  attributeChangedCallback(name: string): void {
    if (name == "max" || name == "label") this.#render();
    else this.#restart();
  }

  /** Several attributes that change together are one change. */
  #restart(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    queueMicrotask(() => {
      this.#isQueued = false;
      this.#watch();
    });
  }

  #watch(): void {
    this.#stop?.();
    this.#stop = this.#latest = undefined;
    if (!this.isConnected) return;
    this.#render();
    const tag = document.querySelector<HTMLScriptElement>("script[data-site]");
    const site = this.getAttribute("site") || tag?.dataset.site;
    const { user } = this;
    if (!site) console.warn("presence-faces: `site` is missing");
    if (!site || !user) return; // a framework may set `user` later
    // Like the script tag: where nothing else is said, the service is where this file came from.
    const server = new URL((this.getAttribute("server") || ".").replace(/\/*$/, "/"), import.meta.url);
    this.#stop = watchLiveUsers(
      `${new URL(`v1/sites/${site}/`, server)}`,
      sourceOf(user),
      (users) => {
        this.#latest = users;
        this.#latestAt = Date.now();
        this.#render();
      },
      this.getAttribute("path") || location.pathname,
    );
  }

  #render(): void {
    const users = this.#latest;
    const max = Number(this.getAttribute("max")) || DEFAULT_MAX;
    const faces = users ? facesOf(users, max, Date.now() - this.#latestAt) : [];
    this.#list.setAttribute("aria-label", this.getAttribute("label") || labelOf(users?.total ?? 0));
    const left = new Set(this.#items.keys());
    faces.forEach((face, index) => {
      left.delete(face.key);
      const item = this.#items.get(face.key) ?? createItem();
      this.#items.set(face.key, item);
      this.#fill(item, face);
      // An item that stays in its place keeps the focus.
      if (this.#list.children[index] != item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
    for (const key of left) {
      this.#items.get(key)!.remove();
      this.#items.delete(key);
    }
  }

  #fill(item: HTMLLIElement, face: Face): void {
    const text = item.firstElementChild!;
    item.style.marginInlineStart = "";
    Object.assign(item.style, face.style);
    item.title = face.title;
    text.textContent = face.text;
    text.setAttribute("aria-label", face.title);
    renderPicture(item, face.avatar);
  }
}

const registry = globalThis.customElements as CustomElementRegistry | undefined;
registry?.get("presence-faces") || registry?.define("presence-faces", PresenceFaces);
