// How many jobs a tenant may submit per second, over all processes together.
// Owns:          the bucket of a tenant in State; what a process draws from it in advance; for how long a refused caller must wait.
// Must not know: HTTP; what a job is.
// V1. One bucket per tenant, in its own partition, changed by compare-and-set: what processes draw, all together, is never more than
//     `burst` + `perSecond` × time. V2. A process draws single tokens, and twice as many each time while they do not suffice, up to a fifth
//     of a second's: a busy tenant costs State some ten calls a second and process, a quiet one is counted exactly. What was drawn and not
//     used within LEASE_MS is lost, so that in t seconds at most burst + perSecond × (t + 1 s) jobs are let in.
// V3. Many at once cost as many tokens as they are. More than the burst are let in from a full bucket, and owed: so no batch is too large
//     for ever, and the rate holds. V4. Whoever is refused is refused from memory until it could be otherwise: a flood costs State nothing.
// V5. Who cannot be sent away gets a turn: a token that the bucket will have, owed until then. Turns are handed out in order, 1 / rate apart,
//     as many at once as are waited for, and no later than the caller can wait. They and those who come with a request share the one rate.

import { createHash } from "node:crypto";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { RecordKey, State, Stored } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { readShape } from "../records/shape.ts";

export const RATE_KIND = "rate";
export const RATE_SHAPE = 1;
const LEASE_MS: Ms = 1_000;
/** A lease that was used up within this time was too small. */
const TOO_SOON_MS: Ms = 250;
const LEASES_PER_SECOND = 5;
const CONFLICTS_MAX = 50;
const TENANTS_MAX = 10_000;
/** A bucket that nobody touches, and that owes nothing, is full again long before. */
const KEEP_MS: Ms = 86_400_000;

export interface SubmitRate {
  /** 0: no limit. */
  readonly perSecond: number;
  readonly burst: number;
}

export interface SubmitRates {
  /** Of tenants without one of their own. */
  readonly preset: SubmitRate;
  readonly ofTenant: ReadonlyMap<string, SubmitRate>;
}

export const NO_SUBMIT_RATES: SubmitRates = { preset: { perSecond: 0, burst: 0 }, ofTenant: new Map() };

export interface RateParts {
  readonly state: State;
  readonly clock: Clock;
  readonly storeTimeoutMs: Ms;
}

export type Admission =
  | { readonly kind: "admitted" }
  | { readonly kind: "refused"; readonly waitMs: Ms; readonly rate: SubmitRate };

export type Turn =
  | { readonly kind: "now" }
  | { readonly kind: "later"; readonly at: EpochMs }
  /** The line is longer than one can wait. */
  | { readonly kind: "none"; readonly rate: SubmitRate };

interface Bucket {
  readonly shape: typeof RATE_SHAPE;
  readonly tenant: string;
  /** Negative: owed. */
  readonly tokens: number;
  readonly at: EpochMs;
}

interface Lease {
  tokens: number;
  size: number;
  drawnAt: Ms;
  /** As it was seen last, and its version; others may have drawn since. */
  seen: Stored | undefined;
  drawing: Promise<void> | undefined;
  /** Turns that were drawn and not given to anybody, and those who want one. */
  turns: number;
  nextTurnAt: EpochMs;
  turnsDrawnAt: Ms;
  wanted: number;
}

const NOW: Turn = { kind: "now" };
const ADMITTED: Admission = { kind: "admitted" };

export class SubmitLimiter {
  readonly #rates: SubmitRates;
  readonly #parts: RateParts;
  readonly #leases = new Map<string, Lease>();

  constructor(rates: SubmitRates, parts: RateParts) {
    this.#rates = rates;
    this.#parts = parts;
  }

  /** Undefined: the tenant has no limit, at no cost. Otherwise takes `jobs` tokens or none. Faults: STATE_*. */
  take(tenant: string, jobs: number, deadline: () => AbortSignal): Promise<Admission> | undefined {
    const rate = this.#rateOf(tenant);
    return rate.perSecond <= 0 || jobs <= 0 ? undefined : this.#take({ tenant, jobs, rate }, deadline());
  }

  limits(tenant: string): boolean {
    return this.#rateOf(tenant).perSecond > 0;
  }

  /** When one job of a tenant that has a limit may begin, which will wait for it: `waitMsMax` at most (V5). Faults: STATE_*. */
  async queue(tenant: string, waitMsMax: Ms, signal: AbortSignal): Promise<Turn> {
    const wish = { tenant, jobs: 1, rate: this.#rateOf(tenant) };
    const lease = this.#leaseOf(tenant);
    lease.wanted++;
    try {
      for (;;) {
        const turn = this.#turnIn(lease, wish);
        if (turn !== undefined) return turn;
        const waitMs = this.#waitMs(lease, wish);
        if (waitMs > waitMsMax) return { kind: "none", rate: wish.rate };
        const drawing = (): Promise<void> =>
          waitMs === 0 ? this.#draw(lease, wish, signal) : this.#drawTurns(lease, wish, waitMsMax, signal);
        lease.drawing ??= drawing().finally(() => {
          lease.drawing = undefined;
        });
        await lease.drawing;
      }
    } finally {
      lease.wanted--;
    }
  }

  /** Of what was drawn already. */
  #turnIn(lease: Lease, { rate }: Wish): Turn | undefined {
    const [now, mono] = [this.#parts.clock.now(), this.#parts.clock.mono()];
    if (mono - lease.drawnAt > LEASE_MS) lease.tokens = 0;
    if (mono - lease.turnsDrawnAt > LEASE_MS) lease.turns = 0;
    if (lease.tokens >= 1) {
      lease.tokens--;
      return NOW;
    }
    if (lease.turns < 1) return undefined;
    const at = Math.ceil(lease.nextTurnAt - ROUNDING);
    lease.turns--;
    lease.nextTurnAt += 1_000 / rate.perSecond;
    return at <= now ? NOW : { kind: "later", at };
  }

  #rateOf(tenant: string): SubmitRate {
    return this.#rates.ofTenant.get(tenant) ?? this.#rates.preset;
  }

  async #take(wish: Wish, signal: AbortSignal): Promise<Admission> {
    const { jobs, rate } = wish;
    const lease = this.#leaseOf(wish.tenant);
    for (;;) {
      const mono = this.#parts.clock.mono();
      if (mono - lease.drawnAt > LEASE_MS) lease.tokens = 0;
      if (lease.tokens >= jobs) {
        lease.tokens -= jobs;
        return ADMITTED;
      }
      const waitMs = this.#waitMs(lease, wish);
      if (waitMs > 0) return { kind: "refused", waitMs, rate };
      // One draws for all who wait; each looks again. What it cannot do for one it cannot do for the others.
      lease.drawing ??= this.#draw(lease, wish, signal).finally(() => {
        lease.drawing = undefined;
      });
      await lease.drawing;
    }
  }

  /** From what is known of the bucket: nobody but time fills it, so it has no more than that. */
  #waitMs({ seen }: Lease, { jobs, rate }: Wish): Ms {
    if (seen === undefined) return 0;
    const tokens = refilled(parseBucket(seen.value), rate, this.#parts.clock.now());
    return waitFor(tokens, jobs, rate);
  }

  /** Into the lease: at least what the wish needs, or nothing. */
  async #draw(lease: Lease, wish: Wish, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const { jobs, rate } = wish;
    const most = Math.max(1, Math.min(Math.floor(rate.perSecond / LEASES_PER_SECOND), Math.floor(rate.burst / 4)));
    const wasTooSmall = clock.mono() - lease.drawnAt < TOO_SOON_MS;
    const size = Math.max(jobs, lease.wanted, wasTooSmall ? Math.min(most, lease.size * 2) : 1);
    const { drawn } = await this.#change(lease, wish, signal, (tokens) =>
      waitFor(tokens, jobs, rate) > 0 ? 0 : Math.max(jobs, Math.min(size, Math.floor(tokens))),
    );
    if (drawn === 0) return;
    lease.tokens += drawn;
    lease.size = drawn;
    lease.drawnAt = clock.mono();
  }

  /** As many turns as are wanted and do not come too late. */
  async #drawTurns(lease: Lease, wish: Wish, waitMsMax: Ms, signal: AbortSignal): Promise<void> {
    const { rate } = wish;
    const { drawn, tokens, now } = await this.#change(lease, wish, signal, (left) => {
      if (waitFor(left, 1, rate) > waitMsMax) return 0;
      return Math.max(1, Math.min(lease.wanted, Math.floor(left + (waitMsMax * rate.perSecond) / 1_000 + ROUNDING)));
    });
    lease.turns = drawn;
    lease.turnsDrawnAt = this.#parts.clock.mono();
    lease.nextTurnAt = now + ((1 - tokens) * 1_000) / rate.perSecond;
  }

  /** Takes from the bucket what `wanted` says of the tokens in it, which may be more than there are; 0: nothing. */
  async #change(
    lease: Lease,
    { tenant, rate }: Wish,
    signal: AbortSignal,
    wanted: (tokens: number) => number,
  ): Promise<{ readonly drawn: number; readonly tokens: number; readonly now: EpochMs }> {
    const { state, clock } = this.#parts;
    const key = this.#key(tenant);
    for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
      const now = clock.now();
      const until = clock.deadline(signal, this.#parts.storeTimeoutMs);
      lease.seen ??= (await state.get([key], until))[0];
      const { seen } = lease;
      const before = seen === undefined ? { tokens: rate.burst, at: now } : parseBucket(seen.value);
      const tokens = refilled(before, rate, now);
      const drawn = wanted(tokens);
      if (drawn === 0) return { drawn, tokens, now };
      // Clocks differ a little: time that has counted must not count again.
      const bucket: Bucket = { shape: RATE_SHAPE, tenant, tokens: tokens - drawn, at: Math.max(before.at, now) };
      const id = clock.id();
      const outcome = await state.commit(
        {
          id,
          partition: key.partition,
          checks: [seen === undefined ? { is: "absent", key } : { is: "at", key, version: seen.version }],
          changes: [
            { do: "put", key, value: bucket as unknown as Json, wakeAt: "never", keepMs: keepMsOf(bucket, rate) },
          ],
        },
        until,
      );
      if (outcome.kind === "committed") {
        lease.seen = { key, version: id, value: bucket as unknown as Json };
        return { drawn, tokens, now };
      }
      lease.seen = outcome.found;
    }
    throw new Fault("STATE_UNAVAILABLE", `the rate of tenant ${tenant} is being changed by many at once`);
  }

  #leaseOf(tenant: string): Lease {
    const known = this.#leases.get(tenant);
    if (known !== undefined) return known;
    if (this.#leases.size >= TENANTS_MAX) this.#leases.clear(); // costs what was drawn in advance, and a read each
    const lease: Lease = {
      ...{ tokens: 0, size: 1, drawnAt: Number.NEGATIVE_INFINITY, seen: undefined, drawing: undefined },
      ...{ turns: 0, nextTurnAt: 0, turnsDrawnAt: Number.NEGATIVE_INFINITY, wanted: 0 },
    };
    this.#leases.set(tenant, lease);
    return lease;
  }

  /** Tenants are named by people: the key is not. */
  #key(tenant: string): RecordKey {
    const id = createHash("sha256").update(`rate:${tenant}`).digest("hex").slice(0, 32);
    return { partition: partitionOf(id, this.#parts.state.traits.partitions), kind: RATE_KIND, id };
  }
}

interface Wish {
  readonly tenant: string;
  readonly jobs: number;
  readonly rate: SubmitRate;
}

function refilled(
  { tokens, at }: Pick<Bucket, "tokens" | "at">,
  { perSecond, burst }: SubmitRate,
  now: EpochMs,
): number {
  return Math.min(burst, tokens + (Math.max(0, now - at) * perSecond) / 1_000);
}

const ROUNDING = 1e-6;

/** 0: there are enough, see V3. */
function waitFor(tokens: number, jobs: number, { perSecond, burst }: SubmitRate): Ms {
  const missing = Math.min(jobs, burst) - tokens;
  return missing <= ROUNDING ? 0 : Math.max(1, Math.ceil((missing * 1_000) / perSecond - ROUNDING));
}

function keepMsOf({ tokens }: Bucket, { perSecond }: SubmitRate): Ms {
  return KEEP_MS + Math.ceil((Math.max(0, -tokens) * 1_000) / perSecond);
}

function parseBucket(value: Json): Bucket {
  return readShape(value, RATE_SHAPE, "submit rate");
}
