/** Server-sent events, read by hand: fetch shows the status and takes headers, EventSource not. */

/** @typedef {{event: string, data: string, id: string}} Message */

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
