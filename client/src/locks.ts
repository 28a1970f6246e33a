/**
 * `navigator.locks` for browsers that have none, which today are those on plain http: the tabs of
 * an origin agree over a BroadcastChannel who holds a lock.
 *
 * A tab that wants the lock says its number and has it when nobody refuses. The holder refuses,
 * and of two tabs that want it in the same moment the one with the lower number. Who has it says
 * so: a holder that was too busy to refuse hears of it, and has lost the lock.
 */

import type { Locks } from "./types.js";

const OBJECTION_MS = 100;

export const request: Locks["request"] = (name, _, callback) =>
  new Promise((resolve) => {
    const channel = new BroadcastChannel(`${name}`);
    /** A number asks for the lock, a negative one refuses it, 0 has it. */
    const say = (message: number) => channel.postMessage(message);
    const number = 1 - Math.random();
    let isHeld = false;

    const end = async (lock: number | null) => {
      clearTimeout(timer);
      if (lock) {
        isHeld = true;
        say(0);
      }
      await callback(lock);
      channel.close();
      resolve(undefined);
    };
    const timer = setTimeout(() => end(number), OBJECTION_MS);

    channel.onmessage = ({ data }: MessageEvent<number>) => {
      if (data > 0 && (isHeld || number < data)) say(-data);
      else if (!isHeld) {
        if (data >= 0 || data == -number) void end(null);
      } else if (data == 0) {
        channel.close();
        callback(0);
      }
    };
    say(number);
  });
