// Slots of workers that this process has held for long.
// Owns:          which of them are looked at, when, and giving back those whose jobs are out no more.
// Must not know: how a job ends; how slots are counted (scheduling/registry.ts).
// O1. A job may end in another process without this one hearing of it: what the bus tells all of them can be lost. Its slot would be held
//     for as long as the worker lives. O2. A look is one read of the job's record, and each slot has one in LOOK_MS at most, so that
//     long jobs cost next to nothing.

import type { EpochMs, Ms } from "../ports/time.ts";
import type { Reservation } from "../scheduling/registry.ts";
import type { Backlog } from "./backlog.ts";
import type { JobParts } from "./job-parts.ts";

const LOOK_MS: Ms = 20_000;
const LOOKS_AT_ONCE = 200;

export class OldSlots {
  readonly #parts: JobParts;
  readonly #backlog: Backlog;
  /** When each was first seen, or last looked at; of those that were held at the last turn. */
  #seenAt: ReadonlyMap<string, EpochMs> = new Map();

  constructor(parts: JobParts, backlog: Backlog) {
    this.#parts = parts;
    this.#backlog = backlog;
  }

  /** To be called every few seconds. Faults: STATE_*; what was not looked at is looked at in the next turn. */
  async turn(signal: AbortSignal): Promise<void> {
    const { clock, registry, jobs, settings } = this.#parts;
    const now = clock.now();
    const seenAt = new Map<string, EpochMs>();
    const due: Reservation[] = [];
    for (const slot of registry.held()) {
      const at = this.#seenAt.get(slot.dispatchId) ?? now;
      seenAt.set(slot.dispatchId, at);
      if (now - at >= LOOK_MS && due.length < LOOKS_AT_ONCE) due.push(slot);
    }
    this.#seenAt = seenAt;
    if (due.length === 0) return;
    const ids = due.map(({ jobId }) => jobId);
    const seen = await jobs.loadMany(ids, clock.deadline(signal, settings.storeTimeoutMs));
    due.forEach((slot, index) => {
      seenAt.set(slot.dispatchId, now);
      const phase = seen[index]?.record.phase;
      if (phase !== undefined && "dispatch" in phase && phase.dispatch.id === slot.dispatchId) return;
      this.#giveBack(slot);
    });
  }

  #giveBack(slot: Reservation): void {
    const { clock, registry, log } = this.#parts;
    const now = clock.now();
    registry.endDispatch(slot, now);
    log.info("slot.ended_unheard", { jobId: slot.jobId, workerId: slot.workerId });
    this.#backlog.hint(registry.find(slot.workerId, now));
  }
}
