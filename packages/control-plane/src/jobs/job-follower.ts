// A follower of jobs, at its own pace.
// Owns:          what waits for one reader: at most `waitingMax` jobs, each in its latest state; going back to the index for the rest.
// Must not know: transports, what a change looks like to the reader.
// F1. Memory is bounded whatever the reader does: what waits is what the reader will be shown, not the record; beyond the bound nothing is
//     kept, and the reader gets the latest state of everything that changed since its last safe moment, read from the index page by page as
//     it asks.
// F2. Of one job nothing strictly older than what the reader has is given. The same state may come twice, a state between two may be left out.
// F3. `safeAt` of what is given: all that changed up to then was given before it. A reader that goes on from there misses nothing, in this
//     process or another. F4. A pass over the index begins to listen before it reads, and only a pass during which nothing was dropped ends it.

import type { EpochMs } from "../ports/time.ts";
import { putNewest } from "../records/newest.ts";
import { changedSince, type JobChange } from "./changed-since.ts";
import type { Job } from "./job.ts";
import { type Follower, type JobFeed, OVERLAP_MS } from "./job-feed.ts";
import type { JobParts } from "./job-parts.ts";

export interface Followed<T> {
  readonly jobId: string;
  readonly shown: T;
  readonly safeAt: EpochMs;
}

export interface FollowOptions<T> {
  readonly tenant: string;
  /** A safe moment of an earlier reader; undefined: from now on. */
  readonly since: EpochMs | undefined;
  readonly waitingMax: number;
  /** Small, and without a way back to the record. */
  show(job: Job): T;
}

interface Kept<T> extends Followed<T> {
  readonly at: EpochMs;
  readonly version: string;
}

const PAGE = 64;
/** Changes that are known to have been given; beyond that some may come twice. */
const GIVEN_MAX = 512;

export class JobFollower<T> {
  readonly #feed: JobFeed;
  readonly #parts: JobParts;
  readonly #options: FollowOptions<T>;
  readonly #waiting = new Map<string, Kept<T>>();
  readonly #given = new Map<string, { readonly at: EpochMs; readonly version: string }>();
  #safeAt: EpochMs;
  #isBehind: boolean;
  #isListening = true;
  #wake: () => void = () => undefined;

  constructor(feed: JobFeed, parts: JobParts, options: FollowOptions<T>) {
    this.#feed = feed;
    this.#parts = parts;
    this.#options = options;
    this.#isBehind = options.since !== undefined;
    this.#safeAt = options.since ?? feed.safeNow;
  }

  /** A reader that stops here and goes on from this moment misses nothing. */
  get safeAt(): EpochMs {
    return this.#safeAt;
  }

  /** Jobs that wait for the reader. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** How often it had to go back to the index. */
  passes = 0;

  /** Until `signal` fires. Faults: STATE_*, BUS_UNAVAILABLE. */
  async *changes(signal: AbortSignal): AsyncGenerator<Followed<T>, void, undefined> {
    const leave = await this.#feed.follow(this.#options.tenant, this.#follower());
    try {
      while (!signal.aborted) {
        if (this.#isBehind) yield* this.#pass(signal);
        if (signal.aborted) return; // in the middle of a pass: what waits is safe only after all of it
        const next = this.#take();
        if (next !== undefined) yield next;
        else if (!this.#isBehind) await this.#untilWoken(signal);
      }
    } finally {
      leave();
    }
  }

  #follower(): Follower {
    return {
      heard: (change, safeAt) => this.#keep(change, safeAt),
      missed: () => this.#drop(),
    };
  }

  #keep(change: JobChange, safeAt: EpochMs): void {
    if (!this.#isListening) return;
    const kept = this.#kept(change, safeAt);
    const before = this.#waiting.get(kept.jobId);
    // It takes the place of what it replaces, with that one's safe moment: what was offered in between has not been given yet.
    if (before !== undefined) this.#waiting.set(kept.jobId, { ...kept, safeAt: before.safeAt });
    else if (this.#waiting.size >= this.#options.waitingMax) this.#drop();
    else this.#waiting.set(kept.jobId, kept);
    this.#wake();
  }

  #drop(): void {
    this.#waiting.clear();
    this.#isListening = false;
    this.#isBehind = true;
    this.#wake();
  }

  #kept({ job, version }: JobChange, safeAt: EpochMs): Kept<T> {
    return { jobId: job.id, shown: this.#options.show(job), safeAt, at: job.updatedAt, version };
  }

  #take(): Followed<T> | undefined {
    for (const [id, next] of this.#waiting) {
      this.#waiting.delete(id);
      if (this.#isNews(next)) {
        this.#safeAt = Math.max(this.#safeAt, next.safeAt);
        return next;
      }
    }
    return undefined;
  }

  async *#pass(signal: AbortSignal): AsyncGenerator<Followed<T>, void, undefined> {
    this.passes += 1;
    this.#waiting.clear();
    this.#isListening = true;
    this.#isBehind = false;
    const startedAt = this.#parts.clock.now();
    const safeMax = startedAt - OVERLAP_MS;
    const since = this.#safeAt;
    let after: { readonly score: number; readonly member: string } | undefined;
    for (;;) {
      const query = { tenant: this.#options.tenant, since, limit: PAGE, ...(after === undefined ? {} : { after }) };
      const page = await changedSince(query, this.#parts, signal);
      for (const { at, ...change } of page.entries) {
        // What lies before it in the order was given; what shares its moment may come after it.
        this.#safeAt = Math.max(this.#safeAt, Math.min(at - 1, safeMax));
        if (signal.aborted) return;
        const kept = this.#kept(change, this.#safeAt);
        if (this.#isNews(kept)) yield kept;
      }
      if (page.next === undefined) break;
      after = page.next;
    }
    this.#safeAt = Math.max(this.#safeAt, safeMax);
  }

  #isNews({ jobId, at, version }: Kept<T>): boolean {
    const before = this.#given.get(jobId);
    if (before !== undefined && (before.at > at || before.version === version)) return false;
    putNewest(this.#given, jobId, { at, version }, GIVEN_MAX);
    return true;
  }

  #untilWoken(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size > 0 || this.#isBehind || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        signal.removeEventListener("abort", end);
        this.#wake = () => undefined;
        resolve();
      };
      this.#wake = end;
      signal.addEventListener("abort", end, { once: true });
    });
  }
}
