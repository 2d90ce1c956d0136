// What workers said last about the jobs they are at.
// Owns:          claims and progress that are not in the jobs' records yet.
// Must not know: State; how a packet is read.
// G1. A claim or progress is written at most once in a flush, and not at all for a job that ends before: short jobs cost no write for it.
// G2. Nothing rests on the board being kept: a claim that a crash loses comes again, or its job rings again.

export interface Claim {
  readonly jobId: string;
  readonly workerId: string;
  readonly dispatchId: string;
  /** 0 to 100. */
  readonly percent: number;
}

const CLAIMS_MAX = 50_000;

export class ProgressBoard {
  readonly #claims = new Map<string, Claim>();

  /** False when the board is full: then the news is dropped, as news may be. */
  note(claim: Claim): boolean {
    if (this.#claims.size >= CLAIMS_MAX && !this.#claims.has(claim.jobId)) return false;
    this.#claims.set(claim.jobId, claim);
    return true;
  }

  forget(jobId: string): void {
    this.#claims.delete(jobId);
  }

  /** Takes everything out, oldest first. */
  takeAll(): readonly Claim[] {
    const claims = [...this.#claims.values()];
    this.#claims.clear();
    return claims;
  }
}
