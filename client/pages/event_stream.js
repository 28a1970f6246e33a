/** Server-sent events over fetch, which shows the status and takes headers; EventSource does neither. */

const SILENCE_MS = 40_000; // the server speaks every 15 s
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
const REFUSED_WAIT_MS = 60_000;

/** @typedef {{event: string, data: string, id: string}} Message */

/**
 * How the stream stands: `live`; `waiting` to try again at `retryAt`, because of `status` (0: no
 * answer at all, or the stream ended); `locked`: a token is needed, or another one.
 *
 * @typedef {{phase: "connecting" | "live" | "waiting" | "locked", status: number, retryAt: number}} Standing
 */

/**
 * Opens a stream and keeps it open until the page is left, or it is closed.
 *
 * @param {object} options
 * @param {() => string | URL} options.url asked anew at each attempt
 * @param {() => Record<string, string>} options.headers those that open a private site
 * @param {(message: Message) => void} options.onMessage
 * @param {(standing: Standing) => void} options.onStanding
 * @param {() => void} options.onSign called for whatever the server sends: it is there
 * @returns {{retry: () => void, restart: () => void, close: () => void}} `retry` tries at once; `restart` as well, and
 *   begins with a snapshot
 */
export function liveStream({ url, headers, onMessage, onStanding, onSign }) {
  let lastId = "";
  let baseMs = FIRST_WAIT_MS;
  let failures = 0;
  let timer = 0;
  /** @type {AbortController | null} */
  let current = null;
  const ended = new AbortController();

  /** @param {number} status @param {number} [leastMs] */
  const wait = (status, leastMs = 0) => {
    const grown = Math.min(LONGEST_WAIT_MS, baseMs * 2 ** failures++);
    // Full jitter would let some come back at once; half of it still spreads a crowd.
    const waitMs = Math.max(grown / 2, leastMs) + (Math.random() * grown) / 2;
    timer = setTimeout(run, waitMs);
    onStanding({ phase: "waiting", status, retryAt: Date.now() + waitMs });
  };

  const run = async () => {
    const attempt = (current = new AbortController());
    const silence = silenceAlarm(() => attempt.abort());
    let status = 0;
    let leastMs = 0;
    onStanding({ phase: "connecting", status, retryAt: 0 });
    try {
      const answer = await fetch(url(), {
        headers: { Accept: "text/event-stream", ...headers(), ...(lastId && { "Last-Event-ID": lastId }) },
        cache: "no-store",
        credentials: "omit",
        signal: attempt.signal,
      });
      status = answer.status;
      if (status === 200 && answer.body) {
        await read(answer.body, silence.reset);
        status = 0;
      } else {
        leastMs = status === 404 ? REFUSED_WAIT_MS : 1000 * Number(answer.headers.get("Retry-After") ?? 0);
        await answer.body?.cancel();
      }
    } catch {
      status = 0; // no answer, or it broke off: both are told as one
    }
    silence.stop();
    if (current !== attempt) return; // another attempt has taken over, or the page is left
    current = null;
    if (status === 401 || status === 403) onStanding({ phase: "locked", status, retryAt: 0 });
    else wait(status, leastMs);
  };

  /** @param {ReadableStream<Uint8Array>} body @param {() => void} heard */
  const read = async (body, heard) => {
    const parse = sseParser(
      (message) => {
        lastId = message.id;
        failures = 0;
        onMessage(message);
        onStanding({ phase: "live", status: 200, retryAt: 0 });
      },
      (ms) => (baseMs = ms),
    );
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      onSign();
      parse(decoder.decode(value, { stream: true }));
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
    ended.abort();
  };
  const retry = () => {
    stop();
    failures = 0;
    run();
  };
  const restart = () => {
    lastId = "";
    retry();
  };
  const retryIfWaiting = () => {
    if (!current && document.visibilityState === "visible") retry();
  };

  const { signal } = ended;
  addEventListener("online", retryIfWaiting, { signal });
  // An open stream keeps a page out of the back-forward cache.
  addEventListener("pagehide", stop, { signal });
  addEventListener("pageshow", (event) => event.persisted && retry(), { signal });
  run();
  return { retry, restart, close };
}

/** @param {() => void} onSilence */
function silenceAlarm(onSilence) {
  let timer = setTimeout(onSilence, SILENCE_MS);
  const stop = () => clearTimeout(timer);
  const reset = () => {
    stop();
    timer = setTimeout(onSilence, SILENCE_MS);
  };
  return { reset, stop };
}

/**
 * A parser by the HTML standard, 9.2.6: give it text as it comes, in whatever pieces.
 *
 * @param {(message: Message) => void} onMessage called for each event that has data
 * @param {(ms: number) => void} onRetry called when the server says how long to wait
 * @returns {(text: string) => void}
 */
export function sseParser(onMessage, onRetry) {
  let rest = "";
  let event = "";
  let data = "";
  let id = "";

  /** @param {string} line */
  const take = (line) => {
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
    rest += text;
    const held = rest.endsWith("\r") ? 1 : 0; // the rest of a CRLF may be still to come
    const lines = rest.slice(0, rest.length - held).split(/\r\n|\r|\n/);
    rest = (lines.pop() ?? "") + rest.slice(rest.length - held);
    lines.forEach(take);
  };
}
