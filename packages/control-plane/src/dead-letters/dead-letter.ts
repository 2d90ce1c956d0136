// Dead letters: ended jobs that somebody should look at.
// Owns:          the record, its indexes, and the changes that write it together with the job that failed.
// Must not know: how jobs end; State (it returns changes, the job's commit writes them).
// D1. One dead letter per job, in the job's partition and in the commit that ends the job. D2. It carries its tenant, so that it can be
//     shown after the job's record is gone, and the job's request, so that it can be retried for as long as it is kept. D3. One that was
//     retried leaves the lists and is kept, naming the new job, until its time is up. D4. All indexes of letters have the same order: a
//     list may go on in another one. D5. A signature is listed while the partition holds a letter of it; its score is that of the newest.

import type { Json } from "../ports/json.ts";
import type { Change, IndexKey, Layout, Partition } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { readShape } from "../records/shape.ts";

export const DEAD_LETTER_SHAPE = 1;
export const DEAD_LETTER_KIND = "dead";

export const DEAD_LETTER_INDEX = {
  /** of tenant; score: creation. */
  byTenant: "dead.tenant",
  /** of tenant, reason code; score: creation. */
  byCode: "dead.code",
  /** of tenant, topic; score: creation. */
  byTopic: "dead.topic",
  /** of tenant, signature; score: creation. */
  bySignature: "dead.signature",
  /** of tenant; members are signatures; score: the creation of the newest letter. */
  signatures: "dead.signatures",
} as const;

/** What a retry is made of. */
export interface Origin {
  /** base64 of the encoded JobRequest. */
  readonly request: string;
  readonly traceId: string;
  readonly team: string;
  readonly principal: string;
  readonly priority: "critical" | "interactive" | "batch";
  /** Where the job's own context lies; "" when its request points elsewhere. */
  readonly contextKey: string;
}

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
  readonly signature: string;
  /** The reason with placeholders, see signature.ts. */
  readonly pattern: string;
  readonly origin: Origin;
  /** When the record ends, whatever is written into it. */
  readonly keepUntil: EpochMs;
  /** The job that repeats this one; such a dead letter is in no list. */
  readonly retriedAs?: string;
  /** The newest job that was made of this one by a remediation. */
  readonly remediatedAs?: string;
}

export type NewDeadLetter = Omit<DeadLetter, "keepUntil" | "retriedAs" | "remediatedAs">;

export function deadLetterLayout(keepMs: Ms): Layout["indexes"] {
  const listed = { score: "time", keepMs } as const;
  return Object.fromEntries(Object.values(DEAD_LETTER_INDEX).map((index) => [index, listed]));
}

/** What must be written together with the job that ends. */
export function deadLetterChanges(letter: NewDeadLetter, partition: Partition, keepMs: Ms): readonly Change[] {
  const { jobId, createdAt: score, signature } = letter;
  const key = { partition, kind: DEAD_LETTER_KIND, id: jobId };
  const kept: DeadLetter = { ...letter, keepUntil: score + keepMs };
  return [
    { do: "put", key, value: kept as unknown as Json, keepMs, wakeAt: "never" },
    ...indexesOf(letter, partition).map((index): Change => ({ do: "enter", index, member: jobId, score })),
    { do: "enter", index: signaturesOf(letter.tenant, partition), member: signature, score },
  ];
}

/** What takes a dead letter out of all lists; `isLast`: no other of its signature is in the partition. */
export function unlistChanges(letter: DeadLetter, partition: Partition, isLast: boolean): readonly Change[] {
  const { jobId, tenant, signature } = letter;
  const leaves = indexesOf(letter, partition).map((index): Change => ({ do: "leave", index, member: jobId }));
  return isLast ? [...leaves, { do: "leave", index: signaturesOf(tenant, partition), member: signature }] : leaves;
}

export function signaturesOf(tenant: string, partition: Partition): IndexKey {
  return { partition, index: DEAD_LETTER_INDEX.signatures, of: [tenant] };
}

export function lettersOf(tenant: string, signature: string, partition: Partition): IndexKey {
  return { partition, index: DEAD_LETTER_INDEX.bySignature, of: [tenant, signature] };
}

function indexesOf({ tenant, code, topic, signature }: NewDeadLetter, partition: Partition): readonly IndexKey[] {
  return [
    { partition, index: DEAD_LETTER_INDEX.byTenant, of: [tenant] },
    { partition, index: DEAD_LETTER_INDEX.byCode, of: [tenant, code] },
    { partition, index: DEAD_LETTER_INDEX.byTopic, of: [tenant, topic] },
    lettersOf(tenant, signature, partition),
  ];
}

export function parseDeadLetter(value: Json): DeadLetter {
  return readShape(value, DEAD_LETTER_SHAPE, "dead letter");
}
