// Reading dead letters, newest first.
// Owns:          the listing, and which index leads it.
// Must not know: jobs.

import { partitionOf } from "../ports/partition.ts";
import type { Position, State } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { countAcross, type IndexName, listAcross } from "../records/across-partitions.ts";
import { DEAD_LETTER_INDEX, DEAD_LETTER_KIND, type DeadLetter, parseDeadLetter } from "./dead-letter.ts";

export interface DeadLetterFilter {
  readonly tenant: string;
  readonly code?: string;
  readonly topic?: string;
  readonly signature?: string;
  /** Both inclusive. */
  readonly createdAfter?: EpochMs;
  readonly createdBefore?: EpochMs;
}
export interface DeadLetterQuery extends DeadLetterFilter {
  /** 1 … 500. */
  readonly limit: number;
  readonly after?: Position;
}
export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  readonly next?: Position;
}

/** Members looked at per partition and page, for each letter asked for; a page may be short when filters are rare. */
const EXAMINED_PER_LETTER = 20;
const EXAMINED_MAX = 2_000;

export async function listDeadLetters(
  state: State,
  query: DeadLetterQuery,
  signal: AbortSignal,
): Promise<DeadLetterPage> {
  const { lead, alsoIn } = await indexesFor(state, query, signal);
  const { limit, after, createdAfter, createdBefore } = query;
  const page = await listAcross(
    state,
    {
      lead,
      alsoIn,
      order: "down",
      limit,
      examineMax: Math.min(EXAMINED_MAX, limit * EXAMINED_PER_LETTER),
      ...(createdAfter === undefined ? {} : { min: createdAfter }),
      ...(createdBefore === undefined ? {} : { max: createdBefore }),
      ...(after === undefined ? {} : { after }),
    },
    signal,
  );
  const letters = await loadLetters(
    state,
    page.entries.map(({ member }) => member),
    signal,
  );
  // One that was retried or removed since it was found in the index is in no list.
  const listed = letters.filter((letter) => letter !== undefined).filter(({ retriedAs }) => retriedAs === undefined);
  return { letters: listed, ...(page.next === undefined ? {} : { next: page.next }) };
}

export async function loadLetters(
  state: State,
  jobIds: readonly string[],
  signal: AbortSignal,
): Promise<readonly (DeadLetter | undefined)[]> {
  if (jobIds.length === 0) return [];
  const { partitions } = state.traits;
  const keys = jobIds.map((id) => ({ partition: partitionOf(id, partitions), kind: DEAD_LETTER_KIND, id }));
  const found = await state.get(keys, signal);
  return found.map((stored) => (stored === undefined ? undefined : parseDeadLetter(stored.value)));
}

/** How many letters the filter can match at most; exactly as many where it names no more than one of code, topic and signature. */
export async function countDeadLetters(state: State, filter: DeadLetterFilter, signal: AbortSignal): Promise<number> {
  const { createdAfter, createdBefore } = filter;
  const bounds = {
    ...(createdAfter === undefined ? {} : { min: createdAfter }),
    ...(createdBefore === undefined ? {} : { max: createdBefore }),
  };
  return Math.min(...(await countAcross(state, namesOf(filter), signal, bounds)));
}

/** The smallest index leads. All are in the same order, so a later page may be led by another one. */
async function indexesFor(
  state: State,
  filter: DeadLetterFilter,
  signal: AbortSignal,
): Promise<{ readonly lead: IndexName; readonly alsoIn: readonly IndexName[] }> {
  const names = namesOf(filter);
  const sizes = names.length === 1 ? [0] : await countAcross(state, names, signal);
  const lead = names[sizes.indexOf(Math.min(...sizes))] ?? byTenant(filter);
  return { lead, alsoIn: names.filter((name) => name !== lead) };
}

/** At least one. */
function namesOf(filter: DeadLetterFilter): readonly IndexName[] {
  const { tenant, code, topic, signature } = filter;
  const names: IndexName[] = [];
  if (signature !== undefined) names.push({ index: DEAD_LETTER_INDEX.bySignature, of: [tenant, signature] });
  if (code !== undefined) names.push({ index: DEAD_LETTER_INDEX.byCode, of: [tenant, code] });
  if (topic !== undefined) names.push({ index: DEAD_LETTER_INDEX.byTopic, of: [tenant, topic] });
  return names.length === 0 ? [byTenant(filter)] : names;
}

function byTenant({ tenant }: DeadLetterFilter): IndexName {
  return { index: DEAD_LETTER_INDEX.byTenant, of: [tenant] };
}
