/** Locks without Web Locks, over the real BroadcastChannel. */

import { expect, it } from "vitest";
import { request } from "../src/locks.js";

let names = 0;
const asked = (name: string) => {
  let release = () => {};
  const lock = new Promise<unknown>((resolve) => {
    void request(name, { ifAvailable: true }, (lock) => {
      resolve(lock);
      return lock === null ? null : new Promise<void>((done) => (release = done));
    });
  });
  return { lock, release: () => release() };
};

it("is held by one, and by the next when that one gives it back", async () => {
  const name = `test ${names++}`;
  const first = asked(name);
  expect(await first.lock).not.toBeNull();
  expect(await asked(name).lock).toBeNull();
  expect(await asked(`${name} other`).lock).not.toBeNull();
  first.release();
  expect(await asked(name).lock).not.toBeNull();
});

it("is given to one of those who ask in the same moment", async () => {
  const name = `test ${names++}`;
  const locks = await Promise.all(Array.from({ length: 8 }, () => asked(name).lock));
  expect(locks.filter((lock) => lock !== null)).toHaveLength(1);
});

it("ends when what holds it has ended", async () => {
  const name = `test ${names++}`;
  let isHeld = false;
  await request(name, { ifAvailable: true }, async () => {
    isHeld = true;
    await new Promise((resolve) => setTimeout(resolve, 20));
    isHeld = false;
  });
  expect(isHeld).toBe(false);
});

it("is lost by a holder that was too busy to refuse it", async () => {
  const name = `test ${names++}`;
  const told: unknown[] = [];
  void request(name, { ifAvailable: true }, (lock) => {
    told.push(lock);
    return new Promise(() => {});
  });
  const isTold = (count: number) => expect.poll(() => told.length).toBe(count);
  await isTold(1);
  const channel = new BroadcastChannel(name);
  channel.postMessage(0); // as another holder says that it is one
  await isTold(2);
  channel.close();
  expect(told).toEqual([expect.any(Number), 0]);
  expect(await asked(name).lock).not.toBeNull(); // it does not refuse it any more
});

it("says that it is held, and whoever asks then is refused", async () => {
  const name = `test ${names++}`;
  const heard: unknown[] = [];
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }: MessageEvent<unknown>) => heard.push(data);
  const first = asked(name);
  await first.lock;
  await expect.poll(() => heard.length).toBe(2);
  expect(heard).toEqual([expect.any(Number), 0]);
  const second = asked(name);
  channel.onmessage = null;
  channel.postMessage(0);
  expect(await second.lock).toBeNull();
  channel.close();
});
