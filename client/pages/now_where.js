/** What is counted, in words. */

import { countryName, readablePath } from "./format.js";
import { say } from "./messages.js";

/** "people in Japan now". @param {number} n @param {import("./filters.js").Filters} filters */
export function nowWhere(n, { page, country, source }) {
  if (page !== null) return say("onPageNow", { n, path: readablePath(page) });
  if (country !== null) return say("inCountryNow", { n, country: countryName(country) });
  if (source === null) return say("hereNow", { n });
  return source === "--" ? say("directNow", { n }) : say("fromSourceNow", { n, source });
}
