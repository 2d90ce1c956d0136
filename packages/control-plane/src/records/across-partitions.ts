// Lists and counts over all partitions at once.
// Owns:          asking every partition and merging by score; the cursor's meaning.
// Must not know: what is listed.
// A1. A page goes on strictly behind a position (score, member), the same for every partition, so pages are stable under inserts.
// A2. Each partition looks at a bounded number of members; where one stopped early, the merged page ends there too and `next` goes on.
// A3. Entries are spread evenly as a rule, so each partition is asked for its share and some more; only where that was too little are
//     those that have more asked again, once.

import type { Page, Position, State } from "../ports/state.ts";

export interface IndexName {
  readonly index: string;
  readonly of: readonly string[];
}
export interface AcrossQuery {
  readonly lead: IndexName;
  readonly alsoIn: readonly IndexName[];
  readonly order: "up" | "down";
  readonly min?: number;
  readonly max?: number;
  readonly after?: Position;
  readonly limit: number;
  readonly examineMax: number;
}
export interface MergedPage {
  readonly entries: readonly Position[];
  readonly next?: Position;
  readonly examined: number;
}

export async function listAcross(state: State, query: AcrossQuery, signal: AbortSignal): Promise<MergedPage> {
  const share = shareOf(query.limit, state.traits.partitions);
  const shares = await Promise.all(
    partitionsOf(state).map((partition) => state.list(queryFor({ ...query, limit: share }, partition), signal)),
  );
  const merged = merge(shares, query);
  if (merged.next === undefined || merged.entries.length >= query.limit) return merged;
  const pages = await Promise.all(shares.map((page, partition) => goOn(state, { page, query, partition }, signal)));
  return merge(pages, query);
}

/** Enough for nearly all pages: of entries that fall into partitions by chance, one partition seldom has twice its part and four. */
function shareOf(limit: number, partitions: number): number {
  return Math.min(limit, Math.ceil(limit / partitions) * 2 + 4);
}

interface Begun {
  readonly page: Page;
  readonly query: AcrossQuery;
  readonly partition: number;
}

/** The page that the partition would have given, had it been asked for all of `query.limit`. */
async function goOn(state: State, { page, query, partition }: Begun, signal: AbortSignal): Promise<Page> {
  const [limit, examineMax] = [query.limit - page.entries.length, query.examineMax - page.examined];
  if (page.next === undefined || limit <= 0 || examineMax <= 0) return page;
  const more = await state.list(queryFor({ ...query, limit, examineMax, after: page.next }, partition), signal);
  return { ...more, entries: [...page.entries, ...more.entries], examined: page.examined + more.examined };
}

/** How many entries each index has over all partitions, with scores within the bounds. */
export async function countAcross(
  state: State,
  names: readonly IndexName[],
  signal: AbortSignal,
  bounds: Pick<AcrossQuery, "min" | "max"> = {},
): Promise<readonly number[]> {
  const partitions = partitionsOf(state);
  const spans = names.flatMap(({ index, of }) =>
    partitions.map((partition) => ({ index: { partition, index, of }, ...bounds })),
  );
  const counts = await state.count(spans, signal);
  return names.map((_, at) =>
    counts.slice(at * partitions.length, (at + 1) * partitions.length).reduce((sum, count) => sum + count, 0),
  );
}

/** Merges pages of one query in its order. */
export function merge(pages: readonly Page[], query: Pick<AcrossQuery, "order" | "limit">): MergedPage {
  const sign = query.order === "up" ? 1 : -1;
  const compare = (a: Position, b: Position): number =>
    sign * (a.score - b.score || (a.member < b.member ? -1 : a.member > b.member ? 1 : 0));
  const examined = pages.reduce((sum, page) => sum + page.examined, 0);
  const stops = pages.flatMap((page) => (page.next === undefined ? [] : [page.next])).sort(compare);
  const nearest = stops[0];
  const entries = pages.flatMap((page) => page.entries).sort(compare);
  const certain = nearest === undefined ? entries : entries.filter((entry) => compare(entry, nearest) <= 0);
  const shown = certain.slice(0, query.limit);
  const last = shown.at(-1);
  if (shown.length < certain.length && last !== undefined) return { entries: shown, next: last, examined };
  if (nearest === undefined) return { entries: shown, examined };
  return { entries: shown, next: nearest, examined };
}

function queryFor(query: AcrossQuery, partition: number) {
  const { lead, alsoIn, order, min, max, after, limit, examineMax } = query;
  return {
    span: {
      index: { partition, ...lead },
      ...(min === undefined ? {} : { min }),
      ...(max === undefined ? {} : { max }),
    },
    alsoIn: alsoIn.map((name) => ({ partition, ...name })),
    order,
    limit,
    examineMax,
    ...(after === undefined ? {} : { after }),
  };
}

/** All partitions of the store. */
export function partitionsOf(state: State): readonly number[] {
  return Array.from({ length: state.traits.partitions }, (_, partition) => partition);
}
