/**
 * Replaces `navigator.locks` where it is missing, which today means plain http: the tabs of an
 * origin elect the holder of a lock over a BroadcastChannel.
 *
 * A tab requests the lock with a random number and gets it unless a tab objects within 100 ms. The
 * holder objects, and of two tabs that ask at the same time the one with the lower number. The new
 * holder announces itself, so that an old holder that was too busy to object learns it lost the lock.
 */

import type { Locks } from "./types.js";

const OBJECTION_MS = 100;

export const request: Locks["request"] = (name, _, callback) =>
  new Promise<void>((resolve) => {
    const channel = new BroadcastChannel(`${name}`);
    /** A positive number requests the lock, its negative objects, 0 announces the holder. */
    const say = (message: number) => channel.postMessage(message);
    /** 0 once this tab holds the lock: lower than every request. */
    let number = 1 - Math.random();

    const end = async (lock: number | null) => {
      clearTimeout(timer);
      if (lock) say((number = 0));
      await callback(lock);
      channel.close();
      resolve();
    };
    const timer = setTimeout(() => end(number), OBJECTION_MS);

    channel.onmessage = ({ data }: MessageEvent<number>) => {
      if (data > number) say(-data);
      else if (number) {
        if (data >= 0 || data == -number) void end(null);
      } else if (!data) {
        channel.close();
        callback(0);
      }
    };
    say(number);
  });
