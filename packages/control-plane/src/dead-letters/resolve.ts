// What becomes of a dead letter: it is retried or removed.
// Owns:          reading one, marking it, removing it.
// Must not know: how a job is repeated.
// V1. A dead letter of another tenant does not exist. V2. Who loses a race looks again; a mark that is there stays.

import { type Actor, type AuditEntry, auditChange } from "../audit/audit-entry.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { Change, RecordKey, State } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { DEAD_LETTER_KIND, type DeadLetter, parseDeadLetter, unlistChanges } from "./dead-letter.ts";

export interface SeenDeadLetter {
  readonly letter: DeadLetter;
  readonly key: RecordKey;
  readonly version: string;
}

export interface ResolveParts {
  readonly state: State;
  readonly clock: Clock;
}

const CONFLICTS_MAX = 8;

/** Fault DEAD_LETTER_NOT_FOUND, for foreign ones too. */
export async function loadDeadLetter(
  jobId: string,
  tenant: string,
  state: State,
  signal: AbortSignal,
): Promise<SeenDeadLetter> {
  const seen = await findDeadLetter(jobId, tenant, state, signal);
  if (seen === undefined) throw new Fault("DEAD_LETTER_NOT_FOUND", "dlq entry not found");
  return seen;
}

/** Takes it out of the lists and keeps it, with the name of the new job, as long as it would have been kept. One that was removed
 *  meanwhile stays removed. Faults: JOB_CONTENDED, STATE_*. */
export async function markRetried(
  first: SeenDeadLetter,
  retriedAs: string,
  { state, clock }: ResolveParts,
  signal: AbortSignal,
): Promise<void> {
  await resolve(first, { state, clock }, signal, ({ letter, key }) => {
    if (letter.retriedAs !== undefined) return undefined;
    const value = { ...letter, retriedAs } as unknown as Json;
    const keepMs = Math.max(1, letter.keepUntil - clock.now());
    return [{ do: "put", key, value, keepMs, wakeAt: "never" }, ...unlistChanges(letter, key.partition)];
  });
}

/** Removing what does not exist, or is another's, changes nothing. Faults: JOB_CONTENDED, STATE_*. */
export async function discardDeadLetter(
  jobId: string,
  { tenant, actor }: Discarder,
  parts: ResolveParts,
  signal: AbortSignal,
): Promise<void> {
  const seen = await findDeadLetter(jobId, tenant, parts.state, signal);
  if (seen === undefined) return;
  await resolve(seen, parts, signal, ({ letter, key }) => [
    { do: "delete", key },
    ...unlistChanges(letter, key.partition),
    auditChange(entryOf(letter, actor, parts.clock.now()), key.partition),
  ]);
}

export interface Discarder {
  readonly tenant: string;
  readonly actor: Actor;
}

function entryOf(letter: DeadLetter, actor: Actor, at: EpochMs): Omit<AuditEntry, "shape"> {
  const { tenant, jobId, topic, code, retriedAs } = letter;
  const facts = { topic, code, ...(retriedAs === undefined ? {} : { retriedAs }) };
  return { at, tenant, actor, action: "dlq.delete", of: { kind: "dead_letter", id: jobId }, reason: "", facts };
}

async function resolve(
  first: SeenDeadLetter,
  { state, clock }: ResolveParts,
  signal: AbortSignal,
  changesOf: (seen: SeenDeadLetter) => readonly Change[] | undefined,
): Promise<void> {
  let seen = first;
  for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
    const { key, version } = seen;
    const changes = changesOf(seen);
    if (changes === undefined) return;
    const batch = {
      id: clock.id(),
      partition: key.partition,
      checks: [{ is: "at", key, version }],
      changes,
    } as const;
    const outcome = await state.commit(batch, signal);
    if (outcome.kind === "committed" || outcome.found === undefined) return;
    seen = { key, letter: parseDeadLetter(outcome.found.value), version: outcome.found.version };
  }
  throw new Fault("JOB_CONTENDED", `the dead letter of ${first.letter.jobId} is being changed by many at once`);
}

async function findDeadLetter(
  jobId: string,
  tenant: string,
  state: State,
  signal: AbortSignal,
): Promise<SeenDeadLetter | undefined> {
  const key = { partition: partitionOf(jobId, state.traits.partitions), kind: DEAD_LETTER_KIND, id: jobId };
  const [found] = await state.get([key], signal);
  if (found === undefined) return undefined;
  const letter = parseDeadLetter(found.value);
  return letter.tenant === tenant ? { letter, key, version: found.version } : undefined;
}
