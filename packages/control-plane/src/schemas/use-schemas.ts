// Registering, reading, listing and removing schemas.
// Owns:          one schema, the list; the audit entry of each change.
// Must not know: HTTP, who may do it; what schemas are for.
// R1. What cannot be used is refused when it is registered. R2. Each change and its audit entry are one commit. R3. Registering what is there
//     already changes nothing. R4. Where a tenant has no schema of an id, the installation's is found.

import { type Actor, auditChange } from "../audit/audit-entry.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { JsonObject } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { SchemaJudge } from "../ports/schema-judge.ts";
import type { Change, State } from "../ports/state.ts";
import type { Ms } from "../ports/time.ts";
import type { Seen } from "../records/record-store.ts";
import {
  checkSchema,
  hashOfSchema,
  SCHEMA_KIND,
  SCHEMA_SHAPE,
  type SchemaAddress,
  type SchemaRecord,
  textOfSchema,
} from "./schema.ts";
import { openSchemaStore, ownerIndex, schemaIdOf, schemaRecordId } from "./schema-store.ts";

export interface SchemaParts {
  readonly state: State;
  readonly clock: Clock;
  readonly judge: SchemaJudge;
  /** What this process remembers of the schema counts no more. */
  readonly forget: (address: SchemaAddress) => void;
  readonly storeTimeoutMs: Ms;
}
export interface By {
  readonly actor: Actor;
  /** For whom the request works: a change of the installation's is in the audit of that tenant. */
  readonly tenant: string;
}

const SCHEMAS_MAX = 2_000;
const CONFLICTS_MAX = 16;

/** Faults: INVALID_REQUEST, PAYLOAD_TOO_LARGE, SCHEMA_INVALID, SCHEMA_UNCHECKED, SCHEMA_LIMIT, SCHEMA_CONTENDED, STATE_*. */
export async function registerSchema(
  address: SchemaAddress,
  schema: JsonObject,
  by: By,
  parts: SchemaParts,
  signal: AbortSignal,
): Promise<SchemaRecord> {
  checkSchema(schema);
  await refuseUnusable(schema, by, parts, signal);
  const { state, clock } = parts;
  const store = openSchemaStore(state, clock);
  const until = clock.deadline(signal, parts.storeTimeoutMs);
  const hash = hashOfSchema(schema);
  let seen: Seen<SchemaRecord> | undefined = await store.load(schemaRecordId(address), until);
  for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
    if (seen?.record.hash === hash) return seen.record;
    if (seen === undefined) await refuseTooMany(address.owner, state, until);
    const [registeredAt, registeredBy] = [clock.now(), by.actor.principal];
    const record: SchemaRecord = { ...address, shape: SCHEMA_SHAPE, schema, hash, registeredAt, registeredBy };
    const also = [entryOf("schema.register", address, { by, before: seen?.record.hash, after: hash }, parts)];
    const saved =
      seen === undefined
        ? await store.create(record, { also }, until)
        : await store.replace(seen, record, { also }, until);
    parts.forget(address);
    if (saved.kind === "committed") return record;
    seen = saved.seen;
  }
  throw contended();
}

/** R4. Fault SCHEMA_NOT_FOUND. */
export async function loadSchema(
  address: SchemaAddress,
  parts: SchemaParts,
  signal: AbortSignal,
): Promise<SchemaRecord> {
  const { id, owner } = address;
  const ids = (owner === "" ? [""] : [owner, ""]).map((each) => schemaRecordId({ owner: each, id }));
  const store = openSchemaStore(parts.state, parts.clock);
  const found = await store.loadMany(ids, parts.clock.deadline(signal, parts.storeTimeoutMs));
  const seen = found.find((each) => each !== undefined);
  if (seen === undefined) throw new Fault("SCHEMA_NOT_FOUND", "schema not found");
  return seen.record;
}

/** Ids, registered last first: the tenant's and the installation's. Faults: STATE_*. */
export async function listSchemas(
  { owner, limit }: { readonly owner: string; readonly limit: number },
  { state, clock, storeTimeoutMs }: SchemaParts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const until = clock.deadline(signal, storeTimeoutMs);
  const lists = await Promise.all(
    (owner === "" ? [""] : [owner, ""]).map(async (each) => {
      const span = { index: ownerIndex(each, state) };
      const page = await state.list({ span, alsoIn: [], order: "down", limit, examineMax: limit }, until);
      return page.entries.map(({ member, score }) => ({ id: schemaIdOf(member, each), score }));
    }),
  );
  const newestFirst = lists.flat().toSorted((a, b) => b.score - a.score);
  return [...new Set(newestFirst.map(({ id }) => id))].slice(0, limit);
}

/** Removing what is not there is no error. Faults: SCHEMA_CONTENDED, STATE_*. */
export async function removeSchema(
  address: SchemaAddress,
  by: By,
  parts: SchemaParts,
  signal: AbortSignal,
): Promise<void> {
  const { state, clock } = parts;
  const store = openSchemaStore(state, clock);
  const until = clock.deadline(signal, parts.storeTimeoutMs);
  for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
    const seen = await store.load(schemaRecordId(address), until);
    if (seen === undefined) return;
    const entry = entryOf("schema.delete", address, { by, before: seen.record.hash, after: undefined }, parts);
    const isRemoved = await store.remove(seen, [entry], until);
    parts.forget(address);
    if (isRemoved) return;
  }
  throw contended();
}

/** R1. */
async function refuseUnusable(schema: JsonObject, by: By, { judge }: SchemaParts, signal: AbortSignal): Promise<void> {
  const verdict = await judge.judge({ schema: textOfSchema(schema), owner: by.tenant }, signal);
  if (verdict.kind === "valid") return;
  const reason = verdict.kind === "violated" ? "the schema cannot be used" : verdict.reason;
  const code = verdict.kind === "unchecked" ? "SCHEMA_UNCHECKED" : "SCHEMA_INVALID";
  throw new Fault(code, `schema: ${reason}`, { fields: [{ field: "schema", reason }] });
}

/** Counted before, not in the commit: a few more than the limit do no harm. */
async function refuseTooMany(owner: string, state: State, signal: AbortSignal): Promise<void> {
  const [count = 0] = await state.count([{ index: ownerIndex(owner, state) }], signal);
  if (count >= SCHEMAS_MAX)
    throw new Fault("SCHEMA_LIMIT", `there are at most ${SCHEMAS_MAX} schemas; remove some first`);
}

interface Told {
  readonly by: By;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

function entryOf(
  action: string,
  address: SchemaAddress,
  { by, before, after }: Told,
  { state, clock }: SchemaParts,
): Change {
  const facts = {
    scope: address.owner === "" ? "system" : "tenant",
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  };
  const of = { kind: SCHEMA_KIND, id: address.id };
  const entry = { at: clock.now(), tenant: by.tenant, actor: by.actor, action, of, reason: "", facts };
  return auditChange(entry, partitionOf(schemaRecordId(address), state.traits.partitions));
}

function contended(): Fault {
  return new Fault("SCHEMA_CONTENDED", "the schema is being changed by many at once");
}
