/**
 * `navigator.locks` for browsers that have none, which today are those on plain http: the tabs of
 * an origin agree over a BroadcastChannel who holds a lock.
 *
 * A tab that wants the lock says its number and has it when nobody objects. Who objects is the
 * holder, and a tab that wants it too and has a lower number. A holder that is done says so; one
 * that has crashed is noticed when the others ask again.
 */

const OBJECTION_MS = 100;
const ASK_AGAIN_MS = 2_000;

type Message = number | "taken" | "free";

export const request = (name: string, whenHeld: () => unknown): Promise<void> =>
  new Promise((resolve) => {
    const channel = new BroadcastChannel(name);
    const number = Math.random();
    let isHeld = false;
    let timer: ReturnType<typeof setTimeout>;

    const say = (message: Message) => channel.postMessage(message);
    const after = (milliseconds: number, next: () => void) => {
      clearTimeout(timer);
      timer = setTimeout(next, milliseconds);
    };

    const ask = () => {
      say(number);
      after(OBJECTION_MS, take);
    };

    const take = async () => {
      isHeld = true;
      await whenHeld();
      say("free");
      channel.close();
      resolve();
    };

    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (typeof data == "number") {
        if (isHeld || number < data) say("taken");
      } else if (!isHeld) {
        if (data == "free") ask();
        else after(ASK_AGAIN_MS, ask);
      }
    };
    ask();
  });
