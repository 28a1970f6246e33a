/** On a phone the pages come right after the number: in the document too, so that the focus follows what is seen. */

import { byId } from "./dom.js";

export function followWidth() {
  const narrow = matchMedia("(max-width: 60rem)");
  const [active, totals, pages] = ["active", "totals", "pages"].map((name) => byId("dashboard").querySelector(`:scope > .${name}`));
  const arrange = () => pages && (narrow.matches ? active : totals)?.after(pages);
  narrow.addEventListener("change", arrange);
  arrange();
}
