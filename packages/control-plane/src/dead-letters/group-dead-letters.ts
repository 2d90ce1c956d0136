// Dead letters by what they died of.
// Owns:          the list of error signatures of a tenant, newest first, each with its count and an example.
// Must not know: jobs; how a signature is made.
// R1. A page costs one look per partition, one count, and one look per group, however many letters there are.
// R2. A signature has an entry in each partition that holds a letter of it: it is shown where the newest one is. Behind a cursor those are
//     left out that have letters before it. While letters leave, a group may be shown twice or move; none is left out that stays.

import type { Page, Position, Span, State } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { merge, partitionsOf } from "../records/across-partitions.ts";
import { type DeadLetter, lettersOf, signaturesOf } from "./dead-letter.ts";
import { loadLetters } from "./list-dead-letters.ts";

export interface GroupQuery {
  readonly tenant: string;
  /** Inclusive. Groups without a letter in this time are left out, and only letters of it are counted. */
  readonly createdAfter?: EpochMs;
  readonly createdBefore?: EpochMs;
  readonly code?: string;
  readonly topic?: string;
  /** 1 … GROUPS_MAX. */
  readonly limit: number;
  readonly after?: Position;
}

export interface DeadLetterGroup {
  readonly signature: string;
  readonly count: number;
  /** The newest letter. */
  readonly example: DeadLetter;
}

export interface GroupPage {
  /** May be fewer than `limit`, or none: `next` goes on. */
  readonly groups: readonly DeadLetterGroup[];
  readonly next?: Position;
}

export const GROUPS_MAX = 100;

export async function groupDeadLetters(state: State, query: GroupQuery, signal: AbortSignal): Promise<GroupPage> {
  const pages = await Promise.all(
    partitionsOf(state).map((partition) => state.list(signaturesIn(partition, query), signal)),
  );
  const merged = merge(pages, { order: "down", limit: query.limit });
  const found = [...new Set(merged.entries.map(({ member }) => member))];
  const counts = await countGroups(state, found, { pages, query }, signal);
  const live = found.filter((signature) => (counts.get(signature) ?? 0) > 0);
  const examples = await examplesOf(state, live, { pages, query }, signal);
  const groups = live.flatMap((signature, at) => {
    const example = examples[at];
    return example === undefined ? [] : [{ signature, count: counts.get(signature) ?? 0, example }];
  });
  const wanted = groups.filter(({ example }) => matches(example, query));
  return { groups: wanted, ...(merged.next === undefined ? {} : { next: merged.next }) };
}

/** All letters of a group have one code and one topic. */
function matches({ code, topic }: DeadLetter, query: GroupQuery): boolean {
  return (query.code === undefined || query.code === code) && (query.topic === undefined || query.topic === topic);
}

function signaturesIn(partition: number, { tenant, limit, after, createdAfter }: GroupQuery) {
  return {
    span: {
      index: signaturesOf(tenant, partition),
      ...(createdAfter === undefined ? {} : { min: createdAfter }),
    },
    alsoIn: [],
    order: "down",
    limit,
    examineMax: limit,
    ...(after === undefined ? {} : { after }),
  } as const;
}

/** Those that are to be shown on this page, with the number of their letters. */
async function countGroups(
  state: State,
  signatures: readonly string[],
  { pages, query }: { readonly pages: readonly Page[]; readonly query: GroupQuery },
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const spanOf = (signature: string, partition: number, bounds: Pick<Span, "min" | "max">) => ({
    index: lettersOf(query.tenant, signature, partition),
    ...bounds,
  });
  const bounds = boundsOf(query);
  const asked = signatures.flatMap((signature) => [
    ...partitionsOf(state).map((partition) => ({
      signature,
      isBefore: false,
      span: spanOf(signature, partition, bounds),
    })),
    ...partitionsBefore(pages, signature, query).map((partition) => ({
      signature,
      isBefore: true,
      span: spanOf(signature, partition, { min: endOfBefore(query, signature) }),
    })),
  ]);
  const found = await state.count(
    asked.map(({ span }) => span),
    signal,
  );
  const counts = new Map(signatures.map((signature) => [signature, 0]));
  for (const [at, { signature, isBefore }] of asked.entries())
    if (!isBefore) counts.set(signature, (counts.get(signature) ?? 0) + (found[at] ?? 0));
  for (const [at, { signature, isBefore }] of asked.entries())
    if (isBefore && (found[at] ?? 0) > 0) counts.delete(signature);
  return counts;
}

/** Where an entry of the signature may lie before the cursor: all partitions that have none behind it. */
function partitionsBefore(pages: readonly Page[], signature: string, { after }: GroupQuery): readonly number[] {
  if (after === undefined) return [];
  return [...pages.keys()].filter((partition) => !pages[partition]?.entries.some(({ member }) => member === signature));
}

/** The lowest score that an entry of the signature can have before the cursor. */
function endOfBefore({ after }: GroupQuery, signature: string): number {
  if (after === undefined) return 0;
  return signature >= after.member ? after.score : after.score + 1;
}

function boundsOf({ createdAfter, createdBefore }: GroupQuery): Pick<Span, "min" | "max"> {
  return {
    ...(createdAfter === undefined ? {} : { min: createdAfter }),
    ...(createdBefore === undefined ? {} : { max: createdBefore }),
  };
}

/** The newest letter of each, from the partition whose entry is the newest; where its letters are gone, from the others. */
async function examplesOf(
  state: State,
  signatures: readonly string[],
  { pages, query }: { readonly pages: readonly Page[]; readonly query: GroupQuery },
  signal: AbortSignal,
): Promise<readonly (DeadLetter | undefined)[]> {
  const newest = (signature: string, partition: number) => newestIn(state, signature, { partition, query }, signal);
  const members = await Promise.all(
    signatures.map(async (signature) => {
      const first = await newest(signature, partitionOfNewest(pages, signature));
      if (first !== undefined) return first.member;
      const others = await Promise.all(partitionsOf(state).map((partition) => newest(signature, partition)));
      return others.toSorted((a, b) => (b?.score ?? 0) - (a?.score ?? 0))[0]?.member;
    }),
  );
  const ids = members.filter((member) => member !== undefined);
  const letters = new Map((await loadLetters(state, ids, signal)).map((letter) => [letter?.jobId, letter]));
  return members.map((member) => letters.get(member));
}

async function newestIn(
  state: State,
  signature: string,
  { partition, query }: { readonly partition: number; readonly query: GroupQuery },
  signal: AbortSignal,
): Promise<Position | undefined> {
  const span = { index: lettersOf(query.tenant, signature, partition), ...boundsOf(query) };
  const page = await state.list({ span, alsoIn: [], order: "down", limit: 1, examineMax: 1 }, signal);
  return page.entries[0];
}

function partitionOfNewest(pages: readonly Page[], signature: string): number {
  let best = { partition: 0, score: Number.NEGATIVE_INFINITY };
  for (const [partition, { entries }] of pages.entries()) {
    const score = entries.find(({ member }) => member === signature)?.score;
    if (score !== undefined && score > best.score) best = { partition, score };
  }
  return best.partition;
}
