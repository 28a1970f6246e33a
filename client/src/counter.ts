/** The live numbers of a site for whoever listens on this page, over one stream. */

import { Numbers, cleanPath, type LiveEvent } from "./numbers.js";
import { Stream } from "./stream.js";

export class Counter {
  /** False while the connection is lost: the numbers are the last ones known. */
  isConnected = false;

  private readonly listeners = new Map<unknown, () => void>();
  private readonly asking = new Set<string>();
  private readonly stream: Stream;
  private numbers: Numbers | undefined;

  constructor(private readonly url: string) {
    this.stream = new Stream(`${url}live`, {
      onSnapshot: (event) => {
        this.numbers = new Numbers(event);
        this.tell(true);
      },
      onChange: (event) => {
        this.numbers?.change(event);
        this.tell(true);
      },
      onLost: () => this.tell(false),
    });
  }

  /** Calls `listener` with every change, and now if there are numbers. `key` ends it. */
  add(key: unknown, listener: () => void): void {
    this.listeners.set(key, listener);
    if (this.numbers) listener();
    this.stream.want(true);
  }

  remove(key: unknown): void {
    this.listeners.delete(key);
    if (this.listeners.size == 0) {
      this.stream.want(false);
      this.numbers = undefined; // they would be old when somebody listens again
    }
  }

  /** The site's numbers; undefined until they are known. */
  get site(): LiveEvent | undefined {
    return this.numbers?.site;
  }

  /** Visitors on a page; undefined until they are known, and then listeners are called. */
  on(path: string): number | undefined {
    const cleaned = cleanPath(path);
    const count = this.numbers?.on(cleaned);
    if (this.numbers && count == null) void this.ask(cleaned, this.numbers);
    return count;
  }

  /** A stream lists the busiest pages only: of another it tells what changes, and not what is. */
  private async ask(path: string, numbers: Numbers): Promise<void> {
    if (this.asking.has(path)) return;
    this.asking.add(path);
    try {
      const answer = await fetch(`${this.url}active?path=${encodeURIComponent(path)}`, {
        credentials: "omit",
      });
      if (answer.ok) numbers.learn(path, (await answer.json()).activeVisitors);
    } catch {
      // Asked again with the next event.
    }
    this.asking.delete(path);
    if (numbers == this.numbers && numbers.on(path) != null) this.tell(this.isConnected);
  }

  private tell(isConnected: boolean): void {
    this.isConnected = isConnected;
    for (const listener of [...this.listeners.values()]) listener();
  }
}

const counters = new Map<string, Counter>();

/** The one counter of a site on this page. */
export const counterOf = (url: string): Counter => {
  const key = `${url}`;
  const counter = counters.get(key) ?? new Counter(key);
  counters.set(key, counter);
  return counter;
};
