/**
 * Svelte stores; without options they use the script tag's client. Each is connected while somebody
 * subscribes to it. For another site or page make another one: `$derived(presence({ path }))`.
 */

import { readable, type Readable } from "svelte/store";
import type { LiveCounts, LiveUsers } from "./index.js";
import {
  CONNECTING,
  watchCounts,
  watchPeople,
  type CountsOptions,
  type Live,
  type UsersOptions,
} from "./live_state.js";

export { trackPage } from "./page_tracking.js";
export type { CountsOptions, Live, UsersOptions } from "./live_state.js";

/** The live numbers of the site and, with `path`, of one page. All stores share one connection. */
export const presence = (options: CountsOptions = {}): Readable<Live<LiveCounts>> =>
  readable<Live<LiveCounts>>(CONNECTING, (set) => watchCounts(options, set));

/** Who is on the site, or with `path` on one page. All stores of the same page share one connection. */
export const users = (options: UsersOptions = {}): Readable<Live<LiveUsers>> =>
  readable<Live<LiveUsers>>(CONNECTING, (set) => watchPeople(options, set));
