// The pace of refusals.
// Owns:          how long the answer to a worker waits that asked for what it may not have, so that asking in a loop costs the asker.
// Must not know: what was refused, sessions.
// F1. A tenant's workers are refused so much at once, and then so many times a second, all of them together: each refusal is a read of State
//     and a line in the log. A fleet that comes back late, to jobs that were given to others, stays below that. F2. No answer waits for
//     longer than WAIT_MS_MAX, and nobody who has stopped asking waits for what it asked before. F3. Other tenants wait for nothing.

import type { Ms } from "../ports/time.ts";
import { putNewest } from "../records/newest.ts";

export const REFUSALS = { burst: 2_000, perSecond: 20 } as const;
export const WAIT_MS_MAX: Ms = 30_000;
const TENANTS_MAX = 10_000;
const EVERY_MS = 1_000 / REFUSALS.perSecond;

export class RefusalPace {
  /** When a refusal would be on time that had no burst before it. */
  readonly #dueAt = new Map<string, Ms>();

  /** Counts a refusal at monotonic time `now`. For how long its answer waits. */
  note(tenant: string, now: Ms): Ms {
    const dueAt = Math.max(this.#dueAt.get(tenant) ?? 0, now) + EVERY_MS;
    const waitMs = Math.max(0, dueAt - now - REFUSALS.burst * EVERY_MS);
    putNewest(this.#dueAt, tenant, dueAt - Math.max(0, waitMs - WAIT_MS_MAX), TENANTS_MAX);
    return Math.min(WAIT_MS_MAX, waitMs);
  }
}
