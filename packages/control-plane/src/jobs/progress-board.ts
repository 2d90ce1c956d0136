// What workers said last about the jobs they are at.
// Owns:          claims and progress that are not in the jobs' records yet.
// Must not know: State; how a packet is read.
// G1. A claim or progress is written at most once in a flush, and not at all for a job that ends before: short jobs cost no write for it.
// G2. Nothing rests on the board being kept: a claim that a crash loses comes again, or its job rings again.

import type { EpochMs } from "../ports/time.ts";

export interface Claim {
  readonly jobId: string;
  readonly workerId: string;
  readonly dispatchId: string;
  /** 0 to 100. */
  readonly percent: number;
  readonly message: string;
  readonly at: EpochMs;
}

const JOBS_MAX = 50_000;
/** Whose word counts is decided when it is written: strangers must not take the place of the worker. */
const SENDERS_MAX = 4;

export class ProgressBoard {
  readonly #claims = new Map<string, readonly Claim[]>();

  /** False when the board is full: then the news is dropped, as news may be. */
  note(claim: Claim): boolean {
    const before = this.#claims.get(claim.jobId);
    if (before === undefined && this.#claims.size >= JOBS_MAX) return false;
    const others = before?.filter(({ workerId }) => workerId !== claim.workerId) ?? [];
    if (others.length >= SENDERS_MAX) return false;
    this.#claims.set(claim.jobId, [...others, claim]);
    return true;
  }

  forget(jobId: string): void {
    this.#claims.delete(jobId);
  }

  /** Takes everything out, oldest first. */
  takeAll(): readonly Claim[] {
    const claims = [...this.#claims.values()].flat();
    this.#claims.clear();
    return claims;
  }
}
