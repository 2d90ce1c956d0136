// How schemas lie in State.
// Owns:          kind, ids, the list of an owner's schemas.
// Must not know: what a schema says.
// All schemas of an owner lie in the partition of its name, "*" for the installation; the name of a record ends in the schema's id, so that
// the list needs no record.

import type { Clock } from "../ports/clock.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { IndexKey, Layout, State } from "../ports/state.ts";
import { RecordStore } from "../records/record-store.ts";
import { readShape } from "../records/shape.ts";
import { SCHEMA_KIND, SCHEMA_SHAPE, type SchemaAddress, type SchemaRecord } from "./schema.ts";

/** of owner; score: when it was registered last. */
export const SCHEMA_INDEX = "schema.owner";
export type SchemaStore = RecordStore<SchemaRecord>;

export function schemaLayout(): Layout["indexes"] {
  return { [SCHEMA_INDEX]: { score: "time", keepMs: "forever" } };
}

export function schemaRecordId({ owner, id }: SchemaAddress): string {
  return `${nameOf(owner)}:${id}`;
}

/** The schema's id in the name of a record of this owner. */
export function schemaIdOf(recordId: string, owner: string): string {
  return recordId.slice(nameOf(owner).length + 1);
}

export function ownerIndex(owner: string, state: State): IndexKey {
  const name = nameOf(owner);
  return { partition: partitionOf(name, state.traits.partitions), index: SCHEMA_INDEX, of: [name] };
}

export function openSchemaStore(state: State, clock: Clock): SchemaStore {
  return new RecordStore<SchemaRecord>(state, clock, {
    kind: SCHEMA_KIND,
    idOf: schemaRecordId,
    parse: (value) => readShape<SchemaRecord>(value, SCHEMA_SHAPE, "schema"),
    write: (record) => record as unknown as Json,
    entriesOf: (record) => [{ index: SCHEMA_INDEX, of: [nameOf(record.owner)], score: record.registeredAt }],
    alarmOf: () => "never",
    keepMsOf: () => undefined,
  });
}

function nameOf(owner: string): string {
  return owner === "" ? "*" : owner;
}
