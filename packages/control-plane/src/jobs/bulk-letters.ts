// Retrying or removing many dead letters at once.
// Owns:          which letters a call is for, what it says about them beforehand, and that it ends.
// Must not know: HTTP; how one letter is retried (retry.ts) or removed (dead-letters/resolve.ts).
// Y1. A call is for the letters of one filter that existed when it began: what its retries leave behind is not for it.
// Y2. It goes through a bounded number of letters and says where to go on. Each letter is answered by itself; a failure stops nothing.
// Y3. A dry run changes nothing, and says the same as the call would.
// Y4. Repeating a call makes no second job: ids of new jobs are derived from the letters.

import type { Actor } from "../audit/audit-entry.ts";
import type { DeadLetter } from "../dead-letters/dead-letter.ts";
import { countDeadLetters, type DeadLetterFilter, listDeadLetters } from "../dead-letters/list-dead-letters.ts";
import { discardDeadLetter } from "../dead-letters/resolve.ts";
import { Fault, type FaultCode } from "../ports/fault.ts";
import type { Position } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import type { JobParts } from "./job-parts.ts";
import { retryDeadLetter, retryIdOf } from "./retry.ts";

export interface BulkWish {
  readonly filter: DeadLetterFilter;
  readonly actor: Actor;
  /** For the audit entry of each letter. */
  readonly reason: string;
  readonly dryRun: boolean;
  /** 1 … BULK_MAX. */
  readonly limit: number;
  readonly after?: Position;
}

export type LetterOutcome = { readonly jobId: string } & (
  | { readonly kind: "retried" | "would_retry"; readonly newJobId: string }
  | { readonly kind: "deleted" | "would_delete" | "gone" }
  | { readonly kind: "refused"; readonly code: FaultCode; readonly message: string }
);

export interface BulkAnswer {
  /** The filter as it was applied, with its end in time. */
  readonly scope: DeadLetterFilter & { readonly createdBefore: EpochMs };
  /** Letters in the scope when the call began, those that it went through included; at most, where a filter names more than one thing. */
  readonly matches: number;
  readonly outcomes: readonly LetterOutcome[];
  /** Where to go on; undefined: the scope is through. */
  readonly next?: Position;
}

export const BULK_MAX = 500;
const AT_ONCE = 8;
/** Pages may be short. */
const READS_MAX = 8;

type Treat = (letter: DeadLetter) => Promise<LetterOutcome>;

/** Faults: STATE_* of reading; those of single letters are in their outcomes. */
export function retryMany(wish: BulkWish, parts: JobParts, signal: AbortSignal): Promise<BulkAnswer> {
  const { tenant } = wish.filter;
  const by = { tenant, actor: wish.actor, reason: wish.reason };
  return bulk(wish, parts, signal, async (letter) => {
    const { jobId } = letter;
    if (wish.dryRun) return { jobId, kind: "would_retry", newJobId: retryIdOf(letter) };
    return { jobId, kind: "retried", newJobId: (await retryDeadLetter(jobId, by, parts, signal)).jobId };
  });
}

export function discardMany(wish: BulkWish, parts: JobParts, signal: AbortSignal): Promise<BulkAnswer> {
  const by = { tenant: wish.filter.tenant, actor: wish.actor, reason: wish.reason };
  return bulk(wish, parts, signal, async ({ jobId }) => {
    if (wish.dryRun) return { jobId, kind: "would_delete" };
    const until = parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
    return { jobId, kind: (await discardDeadLetter(jobId, by, parts, until)) ? "deleted" : "gone" };
  });
}

async function bulk(wish: BulkWish, parts: JobParts, signal: AbortSignal, treat: Treat): Promise<BulkAnswer> {
  const until = () => parts.clock.deadline(signal, parts.settings.storeTimeoutMs);
  const scope = { ...wish.filter, createdBefore: wish.filter.createdBefore ?? parts.clock.now() };
  const matches = await countDeadLetters(parts.state, scope, until());
  const outcomes: LetterOutcome[] = [];
  let { after } = wish;
  for (let reads = 0; reads < READS_MAX; reads++) {
    const limit = wish.limit - outcomes.length;
    const page = await listDeadLetters(
      parts.state,
      { ...scope, limit, ...(after === undefined ? {} : { after }) },
      until(),
    );
    outcomes.push(...(await eachOf(page.letters, treat)));
    after = page.next;
    if (after === undefined) return { scope, matches, outcomes };
    if (outcomes.length >= wish.limit) break;
  }
  return { scope, matches, outcomes, ...(after === undefined ? {} : { next: after }) };
}

async function eachOf(letters: readonly DeadLetter[], treat: Treat): Promise<readonly LetterOutcome[]> {
  const outcomes: LetterOutcome[] = [];
  for (let from = 0; from < letters.length; from += AT_ONCE) {
    const some = letters.slice(from, from + AT_ONCE);
    outcomes.push(...(await Promise.all(some.map((letter) => treated(letter, treat)))));
  }
  return outcomes;
}

async function treated(letter: DeadLetter, treat: Treat): Promise<LetterOutcome> {
  try {
    return await treat(letter);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const { jobId } = letter;
    if (error.code === "DEAD_LETTER_NOT_FOUND") return { jobId, kind: "gone" };
    return { jobId, kind: "refused", code: error.code, message: error.message };
  }
}
