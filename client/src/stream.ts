/**
 * One EventSource to a site's stream, there while it is wanted and the page is visible.
 *
 * An EventSource connects again by itself when a connection breaks, but gives up for good when it
 * is answered with an error: then it is opened anew, later and later.
 */

import type { LiveEvent } from "./numbers.js";

const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 300_000;

export interface StreamListener {
  onSnapshot(event: LiveEvent): void;
  onChange(event: LiveEvent): void;
  onLost(): void;
}

export class Stream {
  private source: EventSource | undefined;
  private isWanted = false;
  private retryMs = FIRST_RETRY_MS;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly url: string,
    private readonly listener: StreamListener,
  ) {
    for (const name of ["visibilitychange", "pageshow", "pagehide"]) {
      // A page with an open connection does not get into the back-forward cache.
      addEventListener(name, () => this.update(name == "pagehide"));
    }
  }

  want(isWanted: boolean): void {
    this.isWanted = isWanted;
    this.update();
  }

  private update(isLeft = false): void {
    if (!this.isWanted || isLeft || document.hidden) this.close();
    else if (!this.source && !this.timer) this.open();
  }

  private open(): void {
    this.timer = undefined;
    const source = (this.source = new EventSource(this.url));
    const on = (name: string, handle: (event: LiveEvent) => void) => {
      source.addEventListener(name, ({ data }: MessageEvent<string>) => {
        if (source != this.source) return; // closed meanwhile
        this.retryMs = FIRST_RETRY_MS;
        handle(JSON.parse(data));
      });
    };
    on("snapshot", (event) => this.listener.onSnapshot(event));
    on("change", (event) => this.listener.onChange(event));
    source.onerror = () => {
      if (source != this.source) return;
      this.listener.onLost();
      if (source.readyState == EventSource.CLOSED) this.openLater();
    };
  }

  private openLater(): void {
    this.close();
    this.timer = setTimeout(() => this.open(), this.retryMs * (1 + Math.random() / 2));
    this.retryMs = Math.min(2 * this.retryMs, LONGEST_RETRY_MS);
  }

  private close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.source?.close();
    this.source = undefined;
  }
}
