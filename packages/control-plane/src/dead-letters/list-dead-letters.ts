// Reading dead letters, newest first.
// Owns:          the listing.
// Must not know: jobs.

import { partitionOf } from "../ports/partition.ts";
import type { Position, State } from "../ports/state.ts";
import { listAcross } from "../records/across-partitions.ts";
import { DEAD_LETTER_INDEX, DEAD_LETTER_KIND, type DeadLetter, parseDeadLetter } from "./dead-letter.ts";

export interface DeadLetterQuery {
  readonly tenant: string;
  readonly code?: string;
  /** 1 … 500. */
  readonly limit: number;
  readonly after?: Position;
}
export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  readonly next?: Position;
}

export async function listDeadLetters(
  state: State,
  query: DeadLetterQuery,
  signal: AbortSignal,
): Promise<DeadLetterPage> {
  const byTenant = { index: DEAD_LETTER_INDEX.byTenant, of: [query.tenant] };
  const lead =
    query.code === undefined ? byTenant : { index: DEAD_LETTER_INDEX.byCode, of: [query.tenant, query.code] };
  const page = await listAcross(
    state,
    {
      lead,
      alsoIn: [],
      order: "down",
      limit: query.limit,
      examineMax: query.limit * 4,
      ...(query.after === undefined ? {} : { after: query.after }),
    },
    signal,
  );
  const found = await state.get(
    page.entries.map(({ member }) => ({
      partition: partitionOf(member, state.traits.partitions),
      kind: DEAD_LETTER_KIND,
      id: member,
    })),
    signal,
  );
  const letters = found.flatMap((stored) => (stored === undefined ? [] : [parseDeadLetter(stored.value)]));
  return { letters, ...(page.next === undefined ? {} : { next: page.next }) };
}
