// Calls about locks.
// Owns:          which of them go to which route; their records.
// Must not know: what a lock protects.

import { type CallOptions, sending } from "./calling.ts";
import type { Answer, Call } from "./http.ts";
import { objectOf, pageOf, parseJson, withText } from "./parse.ts";

export interface LockRecord {
  readonly resource: string;
  readonly mode: "exclusive" | "shared";
  /** How often each owner has taken it. */
  readonly owners?: { readonly [owner: string]: number };
  /** RFC 3339. */
  readonly updated_at: string;
  readonly expires_at: string;
  /** Grows with each new holder: what the lock protects can refuse smaller ones than it has seen. */
  readonly fencing_token: number;
}

export interface LockWish {
  readonly resource: string;
  /** Any name; the hold belongs to the key's principal under that name. */
  readonly owner: string;
  /** exclusive when absent. */
  readonly mode?: "exclusive" | "shared";
  /** 30 s when absent, at most an hour. */
  readonly ttl_ms?: number;
}

const ROUTE = "/api/v1/locks";

export function lockCalls(send: (call: Call) => Promise<Answer>) {
  const post = async (verb: string, body: object, options: CallOptions): Promise<unknown> =>
    parseJson((await send({ method: "POST", path: `${ROUTE}/${verb}`, body, ...sending(options) })).text);
  /** What is left of the lock; undefined when nobody holds it any more. */
  const giveBack = async (verb: string, body: object, options: CallOptions): Promise<LockRecord | undefined> => {
    const { lock } = objectOf(await post(verb, body, options));
    return lock === null || lock === undefined ? undefined : lockOf(lock);
  };
  return {
    /** Takes the lock, or takes it once more. LOCK_UNAVAILABLE when somebody else holds it. */
    acquire: async (wish: LockWish, options: CallOptions = {}): Promise<LockRecord> =>
      lockOf(await post("acquire", wish, options)),
    /** Holds it for longer. LOCK_NOT_HELD when it is over. */
    renew: async (wish: LockWish, options: CallOptions = {}): Promise<LockRecord> =>
      lockOf(await post("renew", wish, options)),
    /** Gives it back, once. */
    release: (wish: Pick<LockWish, "resource" | "owner">, options: CallOptions = {}): Promise<LockRecord | undefined> =>
      giveBack("release", wish, options),
    /** Takes it away from an owner, whoever took it under that name. Needs the role operator. */
    break: (
      wish: Pick<LockWish, "resource" | "owner"> & { readonly reason?: string },
      options: CallOptions = {},
    ): Promise<LockRecord | undefined> => giveBack("break", wish, options),
    /** LOCK_NOT_FOUND when nobody holds it. */
    get: async (resource: string, options: CallOptions = {}): Promise<LockRecord> =>
      lockOf(parseJson((await send({ method: "GET", path: ROUTE, query: { resource }, ...sending(options) })).text)),
    /** All that are held, first those that end first; at most 500. */
    held: async (options: CallOptions = {}): Promise<readonly LockRecord[]> => {
      const { text } = await send({ method: "GET", path: ROUTE, query: { held: true }, ...sending(options) });
      return pageOf(parseJson(text), lockOf).items;
    },
  };
}

function lockOf(value: unknown): LockRecord {
  return withText<LockRecord>(value, "resource", "mode", "expires_at");
}
