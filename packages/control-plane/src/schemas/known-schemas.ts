// The schemas that this process checks payloads against.
// Owns:          a bounded picture of State; checking a payload against the schemas that are named for it.
// Must not know: who names them, jobs.
// N1. A change counts everywhere after FRESH_MS at the latest, in the process that made it at once.
// N2. What the installation names is the installation's schema where there is one, so that no tenant puts its own in its place; what a tenant
//     names is the tenant's own first. N3. What cannot be read is a fault, never "no schema".

import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { SchemaJudge, SchemaVerdict } from "../ports/schema-judge.ts";
import type { Ms } from "../ports/time.ts";
import { putNewest } from "../records/newest.ts";
import { type SchemaAddress, textOfSchema } from "./schema.ts";
import { type SchemaStore, schemaRecordId } from "./schema-store.ts";

export const FRESH_MS: Ms = 5_000;
const READ_MS: Ms = 5_000;
const KNOWN_MAX = 512;

interface Known {
  readonly text: Promise<string | undefined>;
  readonly at: Ms;
}

export interface KnownSchemasParts {
  readonly store: Pick<SchemaStore, "load">;
  readonly judge: SchemaJudge;
  readonly clock: Clock;
}

export interface Named {
  readonly id: string;
  readonly by: "system" | "tenant";
}

/** What a payload was found to be. */
export type Finding =
  | Exclude<SchemaVerdict, { readonly kind: "valid" }>
  | { readonly kind: "missing"; readonly id: string };

export class KnownSchemas {
  readonly #parts: KnownSchemasParts;
  readonly #known = new Map<string, Known>();

  constructor(parts: KnownSchemasParts) {
    this.#parts = parts;
  }

  /** The first schema that the payload does not keep to; undefined: it keeps to all. Faults: STATE_*. */
  async find(
    payload: Uint8Array,
    named: readonly Named[],
    tenant: string,
    signal: AbortSignal,
  ): Promise<{ readonly schemaId: string; readonly finding: Finding } | undefined> {
    for (const one of named) {
      const schema = await this.#textOf(one, tenant);
      if (schema === undefined) return { schemaId: one.id, finding: { kind: "missing", id: one.id } };
      const verdict = await this.#parts.judge.judge({ schema, json: payload, owner: tenant }, signal);
      if (verdict.kind !== "valid") return { schemaId: one.id, finding: verdict };
    }
    return undefined;
  }

  forget(address: SchemaAddress): void {
    this.#known.delete(schemaRecordId(address));
  }

  async #textOf({ id, by }: Named, tenant: string): Promise<string | undefined> {
    const owners = by === "system" ? ["", tenant] : [tenant, ""];
    for (const owner of owners) {
      const text = await this.#read({ owner, id });
      if (text !== undefined) return text;
    }
    return undefined;
  }

  #read(address: SchemaAddress): Promise<string | undefined> {
    const { store, clock } = this.#parts;
    const name = schemaRecordId(address);
    const known = this.#known.get(name);
    const at = clock.mono();
    if (known !== undefined && at - known.at < FRESH_MS) return known.text;
    const text = store.load(name, clock.deadline(NEVER, READ_MS)).then((seen) => {
      return seen === undefined ? undefined : textOfSchema(seen.record.schema);
    });
    const reading = { text, at };
    putNewest(this.#known, name, reading, KNOWN_MAX);
    text.catch(() => {
      if (this.#known.get(name) === reading) this.#known.delete(name);
    });
    return text;
  }
}

/** A read is shared by many jobs: none of their signals ends it, its own deadline does. */
const NEVER = new AbortController().signal;

/** Where in a request the place of a violation is: `$` is the payload's context, `/a/0` its member `context.a.0`. */
export function fieldOf(path: string): string {
  if (path === "$") return "context";
  const names = path.slice(1).split("/");
  return ["context", ...names.map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"))].join(".");
}

/** The fault of a payload that does not do. */
export function faultOf({ schemaId, finding }: { readonly schemaId: string; readonly finding: Finding }): Fault {
  switch (finding.kind) {
    case "violated": {
      const fields = finding.violations.map(({ path, message }) => ({ field: fieldOf(path), reason: message }));
      const [first] = fields;
      const says = first === undefined ? "" : `: ${first.field} ${first.reason}`;
      return new Fault("SCHEMA_VALIDATION_FAILED", `the payload does not keep to schema ${schemaId}${says}`, {
        fields,
      });
    }
    case "missing":
      return new Fault("SCHEMA_MISSING", `the topic names schema ${schemaId}, which is not registered`);
    case "unusable":
      return new Fault("SCHEMA_MISSING", `the topic names schema ${schemaId}, which cannot be used: ${finding.reason}`);
    case "unchecked":
      return new Fault("SCHEMA_UNCHECKED", `the payload was not checked against schema ${schemaId}: ${finding.reason}`);
  }
}
