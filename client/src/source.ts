/**
 * How the visitor came: what the address of the page says, or which other site has led here. Only
 * pages that ask for it send it: with presence-source.js, or the option `source`.
 */

const LONGEST_INTERVAL_S = 30;

/** The fields that a heartbeat has more. `name`: what the page says itself, instead of what is found. */
const fieldsOf = (name: string | undefined) => {
  const query = new URLSearchParams(location.search);
  const of = (key: string) => query.get(key) || undefined;
  let host = "";
  try {
    host = new URL(document.referrer).host;
  } catch {} // there is none
  return {
    source: name || of("utm_source") || of("ref") || (host == location.host ? "" : host),
    medium: of("utm_medium"),
    campaign: of("utm_campaign"),
  };
};

/**
 * A `fetch` for heartbeats that says how the visitor came: in the first one, and in each after which
 * the service may have forgotten them.
 */
export const tellSource = (send: typeof fetch, name?: string): typeof fetch => {
  const fields = JSON.stringify(fieldsOf(name)).slice(1);
  /** Sessions time out after more than two intervals. */
  let isKnownUntil = 0;
  return async (url, init) => {
    const now = Date.now();
    const body = now < isKnownUntil ? init!.body! : (init!.body as string).slice(0, -1) + "," + fields;
    const answer = await send(url, { ...init!, body });
    const interval = (answer.headers.get("Presence-Interval") as unknown as number) || LONGEST_INTERVAL_S;
    isKnownUntil = answer.ok ? now + 2000 * interval : 0;
    return answer;
  };
};
