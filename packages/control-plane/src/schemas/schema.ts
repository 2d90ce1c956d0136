// A JSON Schema that somebody has registered under an id.
// Owns:          the record, which ids and which sizes there can be.
// Must not know: State, HTTP, how schemas are compiled.
// S1. A schema belongs to a tenant, or to the installation (""); the same id of two owners names two schemas.
// S2. Ids have parts, joined by "/", as packs write them: `<pack>/<Name>`.

import { createHash } from "node:crypto";
import { Fault, invalidField } from "../ports/fault.ts";
import type { JsonObject } from "../ports/json.ts";
import type { EpochMs } from "../ports/time.ts";
import { isDeeperThan } from "../records/depth.ts";

export const SCHEMA_KIND = "schema";
export const SCHEMA_SHAPE = 1;

export interface SchemaAddress {
  /** "" for the installation's. */
  readonly owner: string;
  readonly id: string;
}
export interface SchemaRecord extends SchemaAddress {
  readonly shape: typeof SCHEMA_SHAPE;
  readonly schema: JsonObject;
  /** Hex SHA-256 of the schema's text. */
  readonly hash: string;
  readonly registeredAt: EpochMs;
  readonly registeredBy: string;
}

export const SCHEMA_BYTES_MAX = 65_536;
const DEPTH_MAX = 64;
const ID_CHARS_MAX = 256;
const CONTROLS = /\p{Cc}/u;

/** Fault INVALID_REQUEST. */
export function parseSchemaId(text: string): string {
  const id = text.trim();
  if (id === "") throw invalidField("id", "schema id required");
  const isText = id.length <= ID_CHARS_MAX && id.isWellFormed() && !CONTROLS.test(id);
  if (isText && id.split("/").every((part) => part !== "" && part !== "." && part !== "..")) return id;
  throw invalidField(
    "id",
    `a schema id is at most ${ID_CHARS_MAX} characters of text, its parts joined by single slashes`,
  );
}

/** Faults: INVALID_REQUEST, PAYLOAD_TOO_LARGE. */
export function checkSchema(schema: JsonObject): void {
  if (isDeeperThan(schema, DEPTH_MAX)) throw invalidField("schema", `schema is nested deeper than ${DEPTH_MAX} levels`);
  const text = textOfSchema(schema);
  if (!text.isWellFormed()) throw invalidField("schema", "schema holds half a character");
  const bytes = Buffer.byteLength(text);
  if (bytes <= SCHEMA_BYTES_MAX) return;
  const reason = `schema has ${bytes} bytes, at most ${SCHEMA_BYTES_MAX} are allowed`;
  throw new Fault("PAYLOAD_TOO_LARGE", reason, { fields: [{ field: "schema", reason }] });
}

export function textOfSchema(schema: JsonObject): string {
  return JSON.stringify(schema);
}

export function hashOfSchema(schema: JsonObject): string {
  return createHash("sha256").update(textOfSchema(schema)).digest("hex");
}
