/** Notices changes of the path in browsers without the Navigation API. */

import type { LazyModule } from "./types.js";

export const watch: LazyModule["watch"] = (update) => {
  addEventListener("popstate", update);
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = (...change) => {
      original.apply(history, change);
      update();
    };
  }
  update(); // the path may have changed while this was loading
};
