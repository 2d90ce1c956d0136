// Dead letters: ended jobs that somebody should look at.
// Owns:          the record, its indexes, and the changes that write it together with the job that failed.
// Must not know: how jobs end; State (it returns changes, the job's commit writes them).
// D1. One dead letter per job, in the job's partition and in the commit that ends the job. D2. It carries its tenant, so that it can be
//     shown after the job's record is gone. D3. One that was retried leaves the lists and is kept, naming the new job, until its time is up.

import type { Json } from "../ports/json.ts";
import type { Change, IndexKey, Layout, Partition } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";

export const DEAD_LETTER_SHAPE = 1;
export const DEAD_LETTER_KIND = "dead";

export const DEAD_LETTER_INDEX = {
  /** of tenant; score: creation. */
  byTenant: "dead.tenant",
  /** of tenant, reason code; score: creation. */
  byCode: "dead.code",
} as const;

export interface DeadLetter {
  readonly shape: typeof DEAD_LETTER_SHAPE;
  readonly jobId: string;
  readonly tenant: string;
  readonly topic: string;
  /** Status name as older clients know it, e.g. JOB_STATUS_FAILED. */
  readonly status: string;
  readonly code: string;
  readonly reason: string;
  readonly lastState: string;
  readonly attempts: number;
  readonly createdAt: EpochMs;
  /** When the record ends, whatever is written into it. */
  readonly keepUntil: EpochMs;
  /** The job that repeats this one; such a dead letter is in no list. */
  readonly retriedAs?: string;
}

export type NewDeadLetter = Omit<DeadLetter, "keepUntil" | "retriedAs">;

export function deadLetterLayout(keepMs: Ms): Layout["indexes"] {
  const listed = { score: "time", keepMs } as const;
  return { [DEAD_LETTER_INDEX.byTenant]: listed, [DEAD_LETTER_INDEX.byCode]: listed };
}

/** What must be written together with the job that ends. */
export function deadLetterChanges(letter: NewDeadLetter, partition: Partition, keepMs: Ms): readonly Change[] {
  const key = { partition, kind: DEAD_LETTER_KIND, id: letter.jobId };
  const kept: DeadLetter = { ...letter, keepUntil: letter.createdAt + keepMs };
  return [
    { do: "put", key, value: kept as unknown as Json, keepMs, wakeAt: "never" },
    ...indexesOf(letter, partition).map(
      (index): Change => ({ do: "enter", index, member: letter.jobId, score: letter.createdAt }),
    ),
  ];
}

/** What takes a dead letter out of all lists. */
export function unlistChanges(letter: DeadLetter, partition: Partition): readonly Change[] {
  return indexesOf(letter, partition).map((index): Change => ({ do: "leave", index, member: letter.jobId }));
}

function indexesOf(letter: NewDeadLetter, partition: Partition): readonly IndexKey[] {
  return [
    { partition, index: DEAD_LETTER_INDEX.byTenant, of: [letter.tenant] },
    { partition, index: DEAD_LETTER_INDEX.byCode, of: [letter.tenant, letter.code] },
  ];
}

export function parseDeadLetter(value: Json): DeadLetter {
  const shape =
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? (value as { shape?: Json }).shape
      : undefined;
  if (shape !== DEAD_LETTER_SHAPE)
    throw new Error(`dead letter of shape ${String(shape)}; this process reads shape ${DEAD_LETTER_SHAPE}`);
  return value as unknown as DeadLetter;
}
