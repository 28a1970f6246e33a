/**
 * `navigator.locks` for browsers that have none, which today are those on plain http: the tabs of
 * an origin agree over a BroadcastChannel who holds a lock.
 *
 * A tab that wants the lock says its number and has it when nobody refuses. The holder refuses,
 * and of two tabs that want it in the same moment the one with the lower number.
 */

import type { Locks } from "./types.js";

const OBJECTION_MS = 100;

interface Message {
  /** Who asks for the lock. */
  readonly asks?: number;
  /** Who must not have it. */
  readonly refused?: number;
}

export const request: Locks["request"] = (name, _, whenAsked) =>
  new Promise((resolve) => {
    const channel = new BroadcastChannel(`${name}`);
    const say = (message: Message) => channel.postMessage(message);
    const number = Math.random();
    let isHeld = false;

    const end = async (lock: number | null) => {
      clearTimeout(timer);
      isHeld = lock != null;
      await whenAsked(lock);
      channel.close();
      resolve(undefined);
    };
    const timer = setTimeout(() => end(number), OBJECTION_MS);

    channel.onmessage = ({ data: { asks, refused } }: MessageEvent<Message>) => {
      const isMine = isHeld || (asks != null && number < asks);
      if (asks != null && isMine) say({ refused: asks });
      else if (!isHeld && (asks != null || refused == number)) void end(null);
    };
    say({ asks: number });
  });
