/** Server-sent events over fetch: unlike EventSource, it shows the HTTP status and can send headers. */

const IDLE_TIMEOUT_MS = 40_000; // the server sends a ping every 15 s
const MIN_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;
const NOT_FOUND_RETRY_MS = 60_000;
const SNAPSHOT_TIMEOUT_MS = 5_000; // the server sends it at once: if it is missing, a proxy holds it back
const POLL_MS = 10_000;
const POLLS = 180; // then the stream is tried again

/** @typedef {{event: string, data: string, id: string}} Message */

/**
 * State of the connection. `retrying`: reconnects at `retryAt` after `status` (0: no response, or the
 * stream ended). `unauthorized`: the token is missing or wrong.
 *
 * @typedef {{phase: "connecting" | "live" | "retrying" | "unauthorized", status: number, retryAt: number}} ConnectionStatus
 */

/**
 * Opens a stream and reconnects until it is closed; paused while the page is in the back-forward cache.
 * Where a proxy holds the stream back, snapshots are fetched instead.
 *
 * @param {object} options
 * @param {() => string | URL} options.url called for each attempt
 * @param {() => Record<string, string>} options.headers called for each attempt
 * @param {() => Promise<object | null>} options.fetchSnapshot
 * @param {(message: Message) => void} options.onMessage
 * @param {(status: ConnectionStatus) => void} options.onStatus
 * @param {() => void} options.onActivity called for every chunk, pings included
 * @returns {{retry: () => void, restart: () => void, close: () => void}} `retry` reconnects at once;
 *   `restart` does so from a new snapshot
 */
export function openEventStream({ url, headers, fetchSnapshot, onMessage, onStatus, onActivity }) {
  let lastId = "";
  let baseMs = MIN_BACKOFF_MS;
  let failures = 0;
  let timer = 0;
  /** @type {AbortController | null} */
  let current = null;
  const closed = new AbortController();

  /** @param {number} status @param {number} [minWaitMs] */
  const scheduleRetry = (status, minWaitMs = 0) => {
    const backoffMs = Math.min(MAX_BACKOFF_MS, baseMs * 2 ** failures++);
    // Half jitter: full jitter would let some clients reconnect at once.
    const waitMs = Math.max(backoffMs / 2, minWaitMs) + (Math.random() * backoffMs) / 2;
    timer = setTimeout(connect, waitMs);
    onStatus({ phase: "retrying", status, retryAt: Date.now() + waitMs });
  };

  const connect = async () => {
    const attempt = (current = new AbortController());
    const idle = idleTimer(() => attempt.abort());
    let status = 0;
    let minWaitMs = 0;
    clearTimeout(timer);
    timer = setTimeout(poll, SNAPSHOT_TIMEOUT_MS);
    onStatus({ phase: "connecting", status, retryAt: 0 });
    try {
      const response = await fetch(url(), {
        headers: { Accept: "text/event-stream", ...headers(), ...(lastId && { "Last-Event-ID": lastId }) },
        cache: "no-store",
        credentials: "omit",
        signal: attempt.signal,
      });
      status = response.status;
      if (status === 200 && response.body) {
        await read(response.body, idle.reset);
        status = 0;
      } else {
        minWaitMs = status === 404 ? NOT_FOUND_RETRY_MS : 1000 * Number(response.headers.get("Retry-After") ?? 0);
        await response.body?.cancel();
      }
    } catch {
      status = 0; // no response, or the stream broke: reported alike
    }
    idle.stop();
    if (current !== attempt) return; // superseded by a newer attempt, or stopped
    current = null;
    clearTimeout(timer);
    if (status === 401 || status === 403) onStatus({ phase: "unauthorized", status, retryAt: 0 });
    else scheduleRetry(status, minWaitMs);
  };

  /** @param {ReadableStream<Uint8Array>} body @param {() => void} onChunk */
  const read = async (body, onChunk) => {
    const parse = createEventParser(
      (message) => {
        clearTimeout(timer);
        lastId = message.id;
        failures = 0;
        onMessage(message);
        onStatus({ phase: "live", status: 200, retryAt: 0 });
      },
      (ms) => (baseMs = ms),
    );
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onChunk();
      onActivity();
      parse(decoder.decode(value, { stream: true }));
    }
  };

  const poll = async (polls = POLLS) => {
    stop();
    if (!polls) return connect();
    const attempt = (current = new AbortController());
    const snapshot = await fetchSnapshot();
    if (current !== attempt) return; // stopped
    if (snapshot) {
      timer = setTimeout(poll, POLL_MS, polls - 1);
      onActivity();
      onMessage({ event: "snapshot", data: JSON.stringify(snapshot), id: "" });
      onStatus({ phase: "live", status: 200, retryAt: 0 });
    } else {
      current = null;
      scheduleRetry(0);
    }
  };

  const stop = () => {
    clearTimeout(timer);
    const attempt = current;
    current = null;
    attempt?.abort();
  };
  const close = () => {
    stop();
    closed.abort();
  };
  const retry = () => {
    stop();
    failures = 0;
    connect();
  };
  const restart = () => {
    lastId = "";
    retry();
  };
  const retryIfWaiting = () => {
    if (!current && document.visibilityState === "visible") retry();
  };

  const { signal } = closed;
  addEventListener("online", retryIfWaiting, { signal });
  // An open stream would keep the page out of the back-forward cache.
  addEventListener("pagehide", stop, { signal });
  addEventListener("pageshow", (event) => event.persisted && retry(), { signal });
  connect();
  return { retry, restart, close };
}

/** @param {() => void} onIdle */
function idleTimer(onIdle) {
  let timer = setTimeout(onIdle, IDLE_TIMEOUT_MS);
  const stop = () => clearTimeout(timer);
  const reset = () => {
    stop();
    timer = setTimeout(onIdle, IDLE_TIMEOUT_MS);
  };
  return { reset, stop };
}

/**
 * Creates a parser of server-sent events (HTML standard, 9.2.6) that takes text in any chunks.
 *
 * @param {(message: Message) => void} onMessage called for each event with data
 * @param {(ms: number) => void} onRetry called with the server's reconnection time
 * @returns {(text: string) => void}
 */
export function createEventParser(onMessage, onRetry) {
  let buffer = "";
  let event = "";
  let data = "";
  let id = "";

  /** @param {string} line */
  const parseLine = (line) => {
    if (!line) {
      if (data) onMessage({ event: event || "message", data: data.slice(0, -1), id });
      event = data = "";
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") event = value;
    else if (name === "data") data += value + "\n";
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) onRetry(Number(value));
  };

  return (text) => {
    buffer += text;
    const pendingLength = buffer.endsWith("\r") ? 1 : 0; // the second half of a CRLF may follow
    const lines = buffer.slice(0, buffer.length - pendingLength).split(/\r\n|\r|\n/);
    buffer = (lines.pop() ?? "") + buffer.slice(buffer.length - pendingLength);
    lines.forEach(parseLine);
  };
}
