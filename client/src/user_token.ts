/** The token that says who the visitor is: when it is asked for, kept, and no longer used. */

/** Gives the user's token, made by the site's own backend; null where nobody is signed in. */
export type FetchUserToken = () =>
  | string
  | null
  | undefined
  | Promise<string | null | undefined>;

export interface TokenSource {
  /** The token to send, undefined without one; asks for it if needed, within `WAIT_MS`. */
  get(): Promise<string | undefined>;
  /** The service took the token. */
  accept(token: string): void;
  /** The service refused the token: it is not sent again, and another one is asked for. */
  refuse(token: string): void;
  /** The user has signed in or out: asks anew with the next `get`. */
  forget(): void;
}

/** A heartbeat waits for its token this long, then it is sent without. */
const WAIT_MS = 3_000;
const ASK_TIMEOUT_MS = 10_000;
const MIN_RETRY_MS = 5_000;
const MAX_RETRY_MS = 600_000;
/** A token is renewed this long before it expires, or after half of its life if that is shorter. */
const RENEW_BEFORE_MS = 120_000;
/** Where the visitor's clock is wrong, a token may look expired when it is new. */
const MIN_LIFE_MS = 30_000;

/** When a JWT expires, in ms since 1970; Infinity if it does not say so. */
export const expiryOf = (token: string): number => {
  try {
    const payload = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    return 1000 * JSON.parse(atob(payload)).exp || Infinity;
  } catch {
    return Infinity;
  }
};

const within = <T>(answer: Promise<T>, ms: number, late: () => T): Promise<T> => {
  let timer: ReturnType<typeof setTimeout>;
  const timeout = new Promise<T>((resolve, reject) => {
    timer = setTimeout(() => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    }, ms);
  });
  return Promise.race([answer, timeout]).finally(() => clearTimeout(timer));
};

export const createTokenSource = (fetchToken: FetchUserToken): TokenSource => {
  let token: string | undefined;
  let renewAt = 0;
  /** No question before this time; grows with every failure in a row. */
  let retryAt = 0;
  let failures = 0;
  let asking: Promise<void> | undefined;
  /** Raised by `forget`, so that an answer for the previous user is dropped. */
  let generation = 0;

  const fail = () => {
    const wait = Math.min(MIN_RETRY_MS * 2 ** failures++, MAX_RETRY_MS);
    retryAt = Date.now() + wait * (1 + Math.random() / 10);
  };

  const ask = async () => {
    const asked = generation;
    let next: string | null | undefined;
    let isAnswered = true;
    try {
      next = await within(Promise.resolve().then(fetchToken), ASK_TIMEOUT_MS, () => {
        throw new Error("no token in time");
      });
    } catch {
      isAnswered = false; // keep the old token; it may still work
    }
    if (asked != generation) return;
    if (isAnswered) token = next || undefined;
    if (!isAnswered || !next) return fail();
    const now = Date.now();
    const life = Math.max(expiryOf(next) - now, MIN_LIFE_MS);
    renewAt = now + life - Math.min(RENEW_BEFORE_MS, life / 2);
  };

  /** One question at a time; everybody gets its answer. */
  const askOnce = (): Promise<void> => {
    if (asking) return asking;
    const question: Promise<void> = ask().finally(() => {
      if (asking == question) asking = undefined;
    });
    return (asking = question);
  };

  return {
    async get() {
      const now = Date.now();
      if ((!token || now >= renewAt) && now >= retryAt) {
        const asked = askOnce();
        if (!token) await within(asked, WAIT_MS, () => {});
      } else if (!token && asking) await within(asking, WAIT_MS, () => {});
      return token;
    },
    accept(accepted) {
      if (accepted == token) failures = 0;
    },
    refuse(refused) {
      if (refused != token) return; // there is a newer one by now
      token = undefined;
      // The first refusal is most often an expired token: ask at once. Then back off.
      if (failures == 0) failures = 1;
      else fail();
    },
    forget() {
      generation++;
      token = asking = undefined;
      renewAt = retryAt = failures = 0;
    },
  };
};

/** A `fetch` for heartbeats that adds the token to the body, and renews it once if it is refused. */
export const identifyHeartbeats =
  (tokens: TokenSource): typeof fetch =>
  async (url, init) => {
    for (let attempt = 1; ; attempt++) {
      const token = await tokens.get();
      if (!token) return fetch(url, init);
      const body = JSON.stringify({ ...JSON.parse(init!.body as string), userToken: token });
      const answer = await fetch(url, { ...init!, body });
      const verdict = answer.headers.get("Presence-User");
      if (verdict == "ok") tokens.accept(token);
      if (verdict != "expired" && verdict != "invalid") return answer;
      tokens.refuse(token);
      // Counted anonymously. Without another token now, the next heartbeat tries again.
      const next = attempt == 1 && (await tokens.get());
      if (!next) return answer;
    }
  };
