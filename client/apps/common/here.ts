/** What all the apps have in common: where the service is, and what they say. */

import type { Live, LiveCounts } from "presence-client";

const query = new URLSearchParams(location.search);

/** `?api=…&site=…` of the page; an automated browser on this machine counts here. */
export const service = {
  api: query.get("api") ?? "",
  site: query.get("site") ?? "",
  allowLocalhost: true,
};
export const otherSite = `other-${service.site}`;

/** Below the page that the app was opened at. */
export const start = location.pathname;
export const cart = `${start}/cart`;

export const textOf = (here: Live<LiveCounts>): string => {
  if (here.state == "connecting") return "connecting";
  const text = `${here.activeVisitors} here, ${here.activeOnPath ?? 0} on this page`;
  if (here.state == "live") return text;
  return `${text}, as of ${new Date(here.staleSince).toISOString()}`;
};
