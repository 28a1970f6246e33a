/** Vue composables; without options they use the script tag's client. */

import {
  getCurrentInstance,
  onMounted,
  onScopeDispose,
  shallowRef,
  toValue,
  watch,
  type MaybeRefOrGetter,
  type ShallowRef,
} from "vue";
import type { LiveCounts, LiveUsers, PresenceOptions } from "./index.js";
import {
  CONNECTING,
  watchCounts,
  watchPeople,
  type CountsOptions,
  type Live,
  type UsersOptions,
} from "./live_state.js";
import { trackPage } from "./page_tracking.js";

export type { CountsOptions, Live, UsersOptions } from "./live_state.js";

/**
 * Runs `start` while the component is mounted, or in the scope that it is called in, and anew whenever
 * one of the sources changes. On a server no component is mounted.
 */
const whileMounted = (sources: (() => unknown)[], start: () => () => void): void => {
  let stop: (() => void) | undefined;
  const restart = () => {
    stop?.();
    stop = start();
  };
  if (getCurrentInstance()) onMounted(restart);
  else restart();
  watch(sources, () => stop && restart());
  onScopeDispose(() => stop?.());
};

/**
 * Counts the visitor while the component is mounted: sends heartbeats on an interval and on every
 * change of the path. Works with any router. Of several components at once, such as a layout and a
 * page, or a page during its transition, the last to unmount reports that the visitor has left. With
 * another `site` or `api` the visitor leaves the old one; other options are those at the start.
 */
export const usePageTracking = (options?: MaybeRefOrGetter<PresenceOptions | undefined>): void => {
  const given = () => toValue(options);
  whileMounted([() => given()?.api, () => given()?.site], () => trackPage(given()));
};

/** The live numbers of the site and, with `path`, of one page. All uses share one connection. */
export const usePresence = (
  options: MaybeRefOrGetter<CountsOptions> = {},
): Readonly<ShallowRef<Live<LiveCounts>>> => {
  const counts = shallowRef<Live<LiveCounts>>(CONNECTING);
  const given = () => toValue(options);
  whileMounted([() => given().api, () => given().site, () => given().path], () =>
    watchCounts(given(), (next) => (counts.value = next)),
  );
  return counts;
};

/** Who is on the site, or with `path` on one page. All uses of the same page share one connection. */
export const useUsers = (
  options: MaybeRefOrGetter<UsersOptions> = {},
): Readonly<ShallowRef<Live<LiveUsers>>> => {
  const users = shallowRef<Live<LiveUsers>>(CONNECTING);
  const given = () => toValue(options);
  const deps = [() => given().api, () => given().site, () => given().path, () => !given().user];
  whileMounted(deps, () => watchPeople(given(), (next) => (users.value = next)));
  return users;
};
