/** How people came and on what, beside the countries: only of sites whose pages say it. */

import { createCountList } from "./count_list.js";
import { byId, setText } from "./dom.js";
import { deviceName, formatPeople, sourceName } from "./format.js";
import { createTabs } from "./tabs.js";
import { say } from "./messages.js";

const MAX_SOURCES = 8;
const MAX_CAMPAIGNS = 4;
export const OTHER = "__other__";

/**
 * @param {((source: string) => void) | undefined} onSelect called with the source that a reader picks
 * @param {(() => void) | undefined} onOther called when a reader wants to see all sources
 * @param {(id: string) => ReturnType<typeof import("./row_order.js").createRowOrder>} orderOf
 * @returns {(model: import("./model.js").Model, filters: import("./filters.js").Filters) => void}
 */
export function createSources(onSelect, onOther, orderOf) {
  const sources = createCountList(byId("sources"), { onSelect, onOther, showDeltas: true });
  const campaigns = createCountList(byId("campaigns"), {});
  const devices = createCountList(byId("devices"), {});
  const orders = { sources: orderOf("sources"), campaigns: orderOf("campaigns"), devices: orderOf("devices") };
  const tabs = createTabs(byId("where-tabs"));
  let isShown = false;

  /**
   * The first rows and the sum of all others.
   *
   * @param {ReturnType<typeof orderOf>} order
   * @param {Map<string, number>} counts
   * @param {number} limit
   * @param {(key: string) => string} nameOf
   * @param {string} others
   * @param {string | null} [selected] what is filtered by is listed, however few are there
   * @returns {import("./count_list.js").Row[]}
   */
  const rowsOf = (order, counts, limit, nameOf, others, selected = null) => {
    const named = [...counts].filter(([key]) => key !== OTHER).slice(0, limit);
    const shown = order(named, (key) => counts.get(key) ?? 0, limit);
    const chosen = selected === null ? 0 : (counts.get(selected) ?? 0);
    if (selected !== null && chosen && !shown.some(([key]) => key === selected)) shown.push([selected, chosen]);
    const rest = [...counts.values()].reduce((sum, count) => sum + count, 0) - shown.reduce((sum, [, count]) => sum + count, 0);
    return [
      ...shown.map(([key, count]) => ({ key, label: nameOf(key), count })),
      ...(rest > 0 ? [{ key: OTHER, label: others, count: rest, isOther: true }] : []),
    ];
  };

  return (model, { source }) => {
    const { activeBySource } = model.numbers;
    if (!isShown && !activeBySource) return;
    if (!isShown) {
      isShown = true;
      byId("where-tabs").hidden = false;
      // What is filtered by is seen, and so is what is known.
      tabs.show(source !== null || !model.countries().some(([code]) => code) ? "sources-panel" : "countries-panel");
    }
    byId("places").removeAttribute("data-short");
    const known = model.sources();
    sources(rowsOf(orders.sources, known, MAX_SOURCES, sourceName, say("otherSources"), source), source);
    campaigns(rowsOf(orders.campaigns, model.campaigns(), MAX_CAMPAIGNS, (name) => name, say("otherCampaigns")));
    devices(rowsOf(orders.devices, model.devices(), MAX_SOURCES, deviceName, say("otherDevices")));
    byId("campaigns-title").hidden = !model.campaigns().size;
    byId("sources-none").hidden = byId("devices-none").hidden = known.size > 0;
    const said = [...known.values()].reduce((sum, count) => sum + count, 0);
    // Some pages say it, others may not.
    setText(byId("sources-sum"), said && said < model.numbers.activeVisitors ? say("knownOf", { people: formatPeople(said) }) : "");
  };
}
