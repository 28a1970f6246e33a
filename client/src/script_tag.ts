/** The script tag: `<script defer src="…/presence.js" data-site="blog"></script>`. */

import type { LazyModule } from "./types.js";

const { src, dataset: options } = document.currentScript as HTMLScriptElement;

/** API of the site: below `data-api`, else the folder of the script. Falsy without `data-site`. */
const url = (options.site &&
  new URL(
    (options.api || ".").replace(/\/*$/, "") + "/v1/sites/" + options.site + "/",
    src,
  )) as unknown as string;

const loadLazy = (retry?: string): Promise<LazyModule> =>
  import(new URL("presence-live.js" + retry, src) as unknown as string);

export { loadLazy, options, url };
