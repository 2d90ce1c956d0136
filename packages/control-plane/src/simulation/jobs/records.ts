// Records of other kinds than jobs, and where they are listed.
// Owns:          that dead letters, slots, keys and locks lie in their indexes as their records say.
// Must not know: how they are written.
// G5, for what is not a job. G13: a slot has an alarm, and is in its limit's index.

import type { Dump } from "../../adapters/memory/memory-state.ts";
import { indexName } from "../../adapters/state/names.ts";
import {
  DEAD_LETTER_INDEX,
  DEAD_LETTER_KIND,
  lettersOf,
  parseDeadLetter,
  signaturesOf,
} from "../../dead-letters/dead-letter.ts";
import { entriesOfKey, KEY_INDEX } from "../../keys/key-indexes.ts";
import { KEY_KIND, parseManagedKey } from "../../keys/managed-key.ts";
import type { IndexKey, Stored } from "../../ports/state.ts";
import { SLOT_KIND } from "../../scheduling/slots.ts";

type Row = Dump["records"][number];
type Listed = ReadonlyMap<string, ReadonlySet<string>>;

const LETTER_INDEXES = [DEAD_LETTER_INDEX.byTenant, DEAD_LETTER_INDEX.byCode, DEAD_LETTER_INDEX.byTopic] as const;
const OF_RECORDS = new Set<string>([...Object.values(DEAD_LETTER_INDEX), ...Object.values(KEY_INDEX), "slot.of"]);

export function othersAgree(dump: Dump): string | undefined {
  const rows = dump.records.filter(({ stored: { key } }) => [DEAD_LETTER_KIND, SLOT_KIND, KEY_KIND].includes(key.kind));
  const there = listed(dump);
  const wanted = new Map<string, Set<string>>();
  for (const row of rows) {
    if (row.stored.key.kind === SLOT_KIND && row.alarmAt === "never")
      return `G13: slot ${row.stored.key.id} has no alarm`;
    for (const { index, member } of placesOf(row)) {
      const name = `${index.partition} ${indexName(index)}`;
      wanted.set(name, (wanted.get(name) ?? new Set()).add(member));
    }
  }
  return difference(wanted, there, "is not listed") ?? difference(there, wanted, "is listed and should not be");
}

function listed({ indexes }: Dump): Listed {
  return new Map(
    indexes
      .filter(({ key }) => OF_RECORDS.has(key.index))
      .map(({ key, entries }) => [`${key.partition} ${indexName(key)}`, new Set(entries.map(({ member }) => member))]),
  );
}

function difference(all: Listed, in_: Listed, what: string): string | undefined {
  for (const [index, members] of all)
    for (const member of members) if (in_.get(index)?.has(member) !== true) return `G5: ${member} ${what} in ${index}`;
  return undefined;
}

function placesOf({ stored }: Row): readonly { readonly index: IndexKey; readonly member: string }[] {
  const { key } = stored;
  if (key.kind === DEAD_LETTER_KIND) return placesOfLetter(stored);
  if (key.kind === KEY_KIND)
    return entriesOfKey(parseManagedKey(stored.value)).map(({ index, of }) => ({
      index: { partition: key.partition, index, of },
      member: key.id,
    }));
  const colon = key.id.lastIndexOf(":");
  const index = { partition: key.partition, index: "slot.of", of: [key.id.slice(0, colon)] };
  return [{ index, member: key.id.slice(colon + 1) }];
}

function placesOfLetter({ key: { partition }, value }: Stored) {
  const { jobId, tenant, code, topic, signature, retriedAs } = parseDeadLetter(value);
  if (retriedAs !== undefined) return [];
  const [byTenant, byCode, byTopic] = LETTER_INDEXES;
  return [
    { index: { partition, index: byTenant, of: [tenant] }, member: jobId },
    { index: { partition, index: byCode, of: [tenant, code] }, member: jobId },
    { index: { partition, index: byTopic, of: [tenant, topic] }, member: jobId },
    { index: lettersOf(tenant, signature, partition), member: jobId },
    { index: signaturesOf(tenant, partition), member: signature },
  ];
}
