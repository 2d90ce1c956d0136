// What workers said last about the jobs they are at.
// Owns:          claims and progress that are not in the jobs' records yet; how often a job's record may be written for them.
// Must not know: State; how a packet is read.
// G1. A claim or progress is written at most once in a flush, and not at all for a job that ends before: short jobs cost no write for it.
//     After that a worker's progress is written once in EVERY_MS at most, however often its worker speaks: the last word counts.
// G2. Nothing rests on the board being kept: a claim that a crash loses comes again, or its job rings again.

import type { EpochMs, Ms } from "../ports/time.ts";

export interface Claim {
  readonly jobId: string;
  readonly workerId: string;
  readonly dispatchId: string;
  /** 0 to 100. */
  readonly percent: number;
  readonly message: string;
  readonly at: EpochMs;
}

const EVERY_MS: Ms = 1_000;
const JOBS_MAX = 50_000;
/** Whose word counts is decided when it is written: strangers must not take the place of the worker. */
const SENDERS_MAX = 4;

export class ProgressBoard {
  readonly #claims = new Map<string, readonly Claim[]>();
  /** Words that were given out within EVERY_MS, by job and who said them, and when; oldest first. */
  readonly #writtenAt = new Map<string, EpochMs>();

  /** False when the board is full: then the news is dropped, as news may be. */
  note(claim: Claim): boolean {
    const before = this.#claims.get(claim.jobId);
    if (before === undefined && this.#claims.size >= JOBS_MAX) return false;
    const others = before?.filter(({ workerId }) => workerId !== claim.workerId) ?? [];
    if (others.length >= SENDERS_MAX) return false;
    const own = before?.find(({ workerId }) => workerId === claim.workerId);
    // A word without a message leaves the last one standing.
    const said = claim.message === "" && own !== undefined ? { ...claim, message: own.message } : claim;
    this.#claims.set(claim.jobId, [...others, said]);
    return true;
  }

  forget(jobId: string): void {
    this.#claims.delete(jobId);
  }

  /** Takes out what may be written now, oldest first. */
  takeDue(now: EpochMs): readonly Claim[] {
    for (const [word, at] of this.#writtenAt) {
      if (at > now - EVERY_MS) break;
      this.#writtenAt.delete(word);
    }
    const due: Claim[] = [];
    for (const [jobId, claims] of this.#claims) {
      const later: Claim[] = [];
      for (const claim of claims) {
        const word = wordOf(claim);
        if (this.#writtenAt.has(word)) later.push(claim);
        else {
          this.#writtenAt.set(word, now);
          due.push(claim);
        }
      }
      if (later.length === 0) this.#claims.delete(jobId);
      else if (later.length < claims.length) this.#claims.set(jobId, later);
    }
    return due;
  }
}

/** A new dispatch is a new claim: it waits for nothing. */
function wordOf({ jobId, workerId, dispatchId }: Claim): string {
  return `${jobId}\n${workerId}\n${dispatchId}`;
}
