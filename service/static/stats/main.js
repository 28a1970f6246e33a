/** The stats page: one stream in, every part of the page told. */

import { liveStream } from "./stream.js";

const site = document.body.dataset.site ?? "";
const now = document.getElementById("now");

liveStream({
  url: () => new URL(`../v1/sites/${site}/live?feed=1`, document.baseURI),
  headers: () => ({}),
  onMessage: ({ data }) => {
    if (now) now.textContent = String(JSON.parse(data).activeVisitors);
  },
  onStanding: ({ phase }) => (document.documentElement.dataset.standing = phase),
  onSign: () => {},
});
