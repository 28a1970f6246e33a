/**
 * One EventSource for a site, open while it has subscribers and the page is visible.
 *
 * EventSource reconnects by itself after a broken connection, but gives up after an HTTP error;
 * then it is recreated with exponential backoff.
 */

export interface PageCount {
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

/**
 * `onEvent` gets every event, or undefined when the connection is lost. Returns a function that
 * opens or closes the stream.
 */
export const createEventStream = (
  url: string,
  onEvent: (event?: LiveEvent, isSnapshot?: boolean) => void,
): ((isWanted: boolean) => void) => {
  let source: EventSource | 0 | undefined;
  let isWanted = false;
  let retryMs = MIN_RETRY_MS;
  let timer: ReturnType<typeof setTimeout> | 0 | undefined;

  const close = () => {
    if (source) source.close();
    clearTimeout(timer || undefined);
    source = timer = 0;
  };

  const open = () => {
    timer = 0;
    const opened = (source = new EventSource(url));
    for (const name of ["snapshot", "change"]) {
      opened.addEventListener(name, ({ data }: MessageEvent<string>) => {
        if (opened != source) return; // closed in the meantime
        retryMs = MIN_RETRY_MS;
        onEvent(JSON.parse(data), name == "snapshot");
      });
    }
    opened.onerror = () => {
      if (opened != source) return;
      if (opened.readyState == EventSource.CLOSED) {
        close();
        timer = setTimeout(open, retryMs * (1 + Math.random() / 2));
        retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
      }
      onEvent();
    };
  };

  const update = (event?: Event) => {
    // An open connection would keep the page out of the back-forward cache.
    if (!isWanted || event?.type == "pagehide" || document.hidden) close();
    else source || timer || open();
  };
  for (const name of ["visibilitychange", "pageshow", "pagehide"]) addEventListener(name, update);

  return (wanted) => {
    isWanted = wanted;
    update();
  };
};
