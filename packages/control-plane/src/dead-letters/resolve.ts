// What becomes of a dead letter: it is retried or removed.
// Owns:          reading one, marking it, removing it; its signature's place in the list of groups.
// Must not know: how a job is repeated.
// V1. A dead letter of another tenant does not exist. V2. Who loses a race looks again; a mark that is there stays.
// V3. The last letter of a signature takes the signature out of its list: whoever leaves others behind does so only while one of them is there,
//     so of two that leave at once one finds out that it is the last.

import { type Actor, type AuditEntry, auditChange } from "../audit/audit-entry.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { Change, Check, RecordKey, State } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { DEAD_LETTER_KIND, type DeadLetter, lettersOf, parseDeadLetter, unlistChanges } from "./dead-letter.ts";

export interface SeenDeadLetter {
  readonly letter: DeadLetter;
  readonly key: RecordKey;
  readonly version: string;
}

export interface ResolveParts {
  readonly state: State;
  readonly clock: Clock;
}

/** More than a call for many treats at once (jobs/bulk-letters.ts): each that goes may cost all others of its kind a look. */
const CONFLICTS_MAX = 16;

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
  await resolve(first, { state, clock }, signal, (seen) => {
    if (seen.letter.retriedAs !== undefined) return undefined;
    return { changes: [markChange(seen, { retriedAs }, clock.now())], unlists: true };
  });
}

/** Notes the job that a remediation made of it; it stays listed. Faults: JOB_CONTENDED, STATE_*. */
export async function markRemediated(
  first: SeenDeadLetter,
  remediatedAs: string,
  { state, clock }: ResolveParts,
  signal: AbortSignal,
): Promise<void> {
  await resolve(first, { state, clock }, signal, (seen) => {
    if (seen.letter.remediatedAs === remediatedAs) return undefined;
    return { changes: [markChange(seen, { remediatedAs }, clock.now())], unlists: false };
  });
}

function markChange(
  { letter, key }: SeenDeadLetter,
  mark: Pick<DeadLetter, "retriedAs"> | Pick<DeadLetter, "remediatedAs">,
  now: EpochMs,
): Change {
  const value = { ...letter, ...mark } as unknown as Json;
  return { do: "put", key, value, keepMs: Math.max(1, letter.keepUntil - now), wakeAt: "never" };
}

/** False when there was nothing to remove: what does not exist, or is another's. Faults: JOB_CONTENDED, STATE_*. */
export async function discardDeadLetter(
  jobId: string,
  { tenant, actor, reason }: Discarder,
  parts: ResolveParts,
  signal: AbortSignal,
): Promise<boolean> {
  const seen = await findDeadLetter(jobId, tenant, parts.state, signal);
  if (seen === undefined) return false;
  return resolve(seen, parts, signal, ({ letter, key }) => {
    const entry = auditChange(entryOf(letter, { actor, reason: reason ?? "" }, parts.clock.now()), key.partition);
    return { changes: [{ do: "delete", key }, entry], unlists: letter.retriedAs === undefined };
  });
}

export interface Discarder {
  readonly tenant: string;
  readonly actor: Actor;
  readonly reason?: string;
}

function entryOf(
  letter: DeadLetter,
  { actor, reason }: { readonly actor: Actor; readonly reason: string },
  at: EpochMs,
): Omit<AuditEntry, "shape"> {
  const { tenant, jobId, topic, code, retriedAs } = letter;
  const facts = { topic, code, ...(retriedAs === undefined ? {} : { retriedAs }) };
  return { at, tenant, actor, action: "dlq.delete", of: { kind: "dead_letter", id: jobId }, reason, facts };
}

interface Resolution {
  readonly changes: readonly Change[];
  /** It leaves the lists. */
  readonly unlists: boolean;
}

/** True when this call did it. */
async function resolve(
  first: SeenDeadLetter,
  { state, clock }: ResolveParts,
  signal: AbortSignal,
  resolutionOf: (seen: SeenDeadLetter) => Resolution | undefined,
): Promise<boolean> {
  let seen = first;
  for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
    const { key, version, letter } = seen;
    const resolution = resolutionOf(seen);
    if (resolution === undefined) return false;
    const { changes, unlists } = resolution;
    const { isLast, checks } = unlists ? await standing(letter, key, state, signal) : STAYS;
    const batch = {
      id: clock.id(),
      partition: key.partition,
      checks: [{ is: "at", key, version }, ...checks],
      changes: [...changes, ...(unlists ? unlistChanges(letter, key.partition, isLast) : [])],
    } as const;
    const outcome = await state.commit(batch, signal);
    if (outcome.kind === "committed") return true;
    if (outcome.check > 0) continue; // another of its kind came or went meanwhile
    if (outcome.found === undefined) return false;
    seen = { key, letter: parseDeadLetter(outcome.found.value), version: outcome.found.version };
  }
  throw new Fault("JOB_CONTENDED", `the dead letter of ${first.letter.jobId} is being changed by many at once`);
}

interface Standing {
  readonly isLast: boolean;
  /** What must hold for that. */
  readonly checks: readonly Check[];
}

const STAYS: Standing = { isLast: false, checks: [] };

/** Whether the letter is the last of its signature (V3). The oldest of the others is asked for: those that leave together are the newest. */
async function standing(
  { jobId, tenant, signature }: DeadLetter,
  { partition }: RecordKey,
  state: State,
  signal: AbortSignal,
): Promise<Standing> {
  const index = lettersOf(tenant, signature, partition);
  const query = { span: { index }, alsoIn: [], order: "up", limit: 2, examineMax: 2 } as const;
  const { entries } = await state.list(query, signal);
  const other = entries.find(({ member }) => member !== jobId);
  return other === undefined
    ? { isLast: true, checks: [{ is: "fewer", index, than: 2 }] }
    : { isLast: false, checks: [{ is: "in", index, member: other.member }] };
}

/** Undefined for foreign ones too. */
export async function findDeadLetter(
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
