/**
 * One EventSource for a site, open while it has subscribers and the page is visible.
 *
 * EventSource reconnects by itself after a broken connection, but gives up after an HTTP error;
 * then it is recreated with exponential backoff. Where a proxy holds the stream back, so that not
 * even the snapshot arrives, the numbers are fetched again and again instead, until the page is
 * next hidden or a fetch fails.
 */

import { fetchJson } from "./fetch_json.js";

interface PageCount {
  readonly path: string;
  readonly count: number;
}

/** The fields of a stream event that the client uses. */
export interface LiveEvent {
  readonly activeVisitors: number;
  readonly activeByPath: readonly PageCount[];
  readonly totalPageViews: number;
  readonly uniqueVisitors: number;
  readonly asOf: number;
}

const MIN_RETRY_MS = 5_000;
const MAX_RETRY_MS = 300_000;
type Timer = ReturnType<typeof setTimeout>;

/** The service sends the snapshot at once. */
const SILENCE_MS = 5_000;
const POLL_MS = 10_000;

/**
 * `onEvent` gets every event, or undefined when the connection is lost. Returns a function that
 * opens or closes the stream.
 */
export const createEventStream = (
  url: string,
  onEvent: (event?: LiveEvent, isSnapshot?: boolean) => void,
): ((isWanted: boolean) => void) => {
  let source: EventSource | 0 | undefined;
  let isWanted: boolean | undefined;
  let retryMs = MIN_RETRY_MS;
  let timer: Timer | 0 | undefined;

  const close = () => {
    if (source) source.close();
    clearTimeout(timer as Timer);
    source = timer = 0;
  };

  const retry = () => {
    close();
    timer = setTimeout(open, retryMs * (1 + Math.random() / 2));
    retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
    onEvent();
  };

  const poll = async () => {
    close();
    const polled = (timer = setTimeout(poll, POLL_MS));
    const event = await fetchJson(`${url}stats`);
    if (polled != timer) return; // closed in the meantime
    if (event) onEvent(event, true);
    else retry();
  };

  const open = () => {
    const opened = (source = new EventSource(`${url}live`));
    timer = setTimeout(poll, SILENCE_MS);
    for (const name of ["change", "snapshot"]) {
      opened.addEventListener(name, ({ data }: MessageEvent<string>) => {
        if (opened != source) return; // closed in the meantime
        clearTimeout(timer as Timer);
        retryMs = MIN_RETRY_MS;
        onEvent(JSON.parse(data), name == "snapshot");
      });
    }
    opened.onerror = () => {
      if (opened != source) return;
      if (opened.readyState > 1) retry(); // closed
      else onEvent();
    };
  };

  const update = (event?: Event) => {
    // An open connection would keep the page out of the back-forward cache.
    if (!isWanted || event?.type == "pagehide" || document.hidden) close();
    else timer || open(); // an open stream has had one
  };
  for (const name of ["visibilitychange", "pageshow", "pagehide"]) addEventListener(name, update);

  return (wanted) => {
    isWanted = wanted;
    update();
  };
};
