/** Server-sent events out of a fetched body, because an EventSource cannot send a token in a header. */

export interface ServerSentEvent {
  readonly name: string;
  readonly data: string;
}

/** More than any event of the service; a body without line ends must not fill the memory. */
const MAX_BUFFER = 4_000_000;

/** Yields the events; calls `onBytes` whenever something arrives, also a comment. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void,
): AsyncGenerator<ServerSentEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder(); // also drops a byte order mark
  let buffer = "";
  let name = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      buffer += decoder.decode(value, { stream: true });
      if (buffer.length > MAX_BUFFER) throw new Error("event too long");
      // A carriage return at the end may be half of a line end.
      const lines = buffer.split(/\r\n|\n|\r(?!$)/);
      buffer = lines.pop()!;
      for (const line of lines) {
        if (!line) {
          if (data.length) yield { name: name || "message", data: data.join("\n") };
          name = "";
          data = [];
          continue;
        }
        const [, field, text = ""] = /^([^:]*)(?:: ?([^]*))?$/.exec(line)!;
        if (field == "event") name = text;
        else if (field == "data") data.push(text);
      }
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}
