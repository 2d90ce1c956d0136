// A document of configuration: what somebody has set for the installation, a tenant, a team, a workflow or a step.
// Owns:          the record, which documents there can be, what may stand in one, how a patch changes it.
// Must not know: how documents are merged into what holds for a job (effective.ts), State, HTTP.
// D1. A document of scope `system` belongs to the installation; all others belong to a tenant, whatever their id.
// D2. What would be misunderstood later is refused when it is written: a safety section, limits and topics that do not parse.
// D3. Documents that become part of a job have a small size each, so that all layers together fit into the packet to a worker.
// D4. Names are own properties of plain values; none reaches a prototype.

import { safetyFault } from "../policy/effective-config.ts";
import { Fault, invalidField } from "../ports/fault.ts";
import type { Json, JsonObject } from "../ports/json.ts";
import type { EpochMs } from "../ports/time.ts";
import { isDeeperThan } from "../records/depth.ts";
import { canonicalJson } from "./canonical-json.ts";
import { limitsFault } from "./limits.ts";
import { topicsFault } from "./topics.ts";

export const CONFIG_KIND = "config";
export const CONFIG_SHAPE = 1;

export const SCOPES = ["system", "org", "team", "workflow", "step"] as const;
export type Scope = (typeof SCOPES)[number];
/** Id of the system's document that is a layer; others hold what their writers keep there. */
export const SYSTEM_LAYER_ID = "default";
/** Id of the system's document of topics, as packs write it. */
export const SYSTEM_TOPICS_ID = "topics";
/** Members that are no business of workers. */
export const INTERNAL_MEMBERS: ReadonlySet<string> = new Set(["pools", "timeouts", "topics"]);

export interface ConfigAddress {
  /** "" for scope `system`. */
  readonly tenant: string;
  readonly scope: Scope;
  readonly scopeId: string;
}
export interface ConfigDocument extends ConfigAddress {
  readonly shape: typeof CONFIG_SHAPE;
  readonly data: JsonObject | null;
  readonly meta: Readonly<Record<string, string>>;
  readonly revision: number;
  readonly updatedAt: EpochMs;
  readonly updatedBy: string;
}

const DEPTH_MAX = 32;
const ID_CHARS_MAX = 512;
const DOCUMENT_BYTES_MAX = 524_288;
/** See D3: 48 KiB together. */
const LAYER_BYTES_MAX = { system: 16_384, org: 12_288, team: 8_192, workflow: 8_192, step: 4_096 } as const;
const META_MAX = 50;
const META_BYTES_MAX = 16_384;

/** "" is `system`; undefined for a word that is no scope. */
export function parseScope(text: string): Scope | undefined {
  return text === "" ? "system" : SCOPES.find((scope) => scope === text);
}

/** Fault INVALID_REQUEST. */
export function addressOf(scope: Scope, scopeId: string, tenant: string): ConfigAddress {
  if (scope === "system") return { tenant: "", scope, scopeId: checkedId(scopeId === "" ? SYSTEM_LAYER_ID : scopeId) };
  if (scope === "org") return { tenant, scope, scopeId: tenant };
  if (scopeId === "") throw invalidField("scope_id", "scope_id required for non-system scope");
  return { tenant, scope, scopeId: checkedId(scopeId) };
}

/** Whether the document is a layer of what holds for jobs. */
export function isLayer({ scope, scopeId }: ConfigAddress): boolean {
  return scope !== "system" || scopeId === SYSTEM_LAYER_ID;
}

/** Top-level members of the patch take the place of those in the document; what the patch does not name stays. */
export function patched(data: JsonObject | null, patch: JsonObject): JsonObject {
  return Object.fromEntries([...Object.entries(data ?? {}), ...Object.entries(patch)]);
}

/** What a worker may see of it. */
export function withoutInternals(data: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(data).filter(([member]) => !INTERNAL_MEMBERS.has(member)));
}

/** Faults: INVALID_REQUEST, CONFIG_SCHEMA_VIOLATION, CONFIG_KEY_FORBIDDEN, PAYLOAD_TOO_LARGE. */
export function checkDocument({
  data,
  meta,
  ...address
}: Pick<ConfigDocument, keyof ConfigAddress | "data" | "meta">): void {
  checkMeta(meta);
  if (data === null) return;
  if (isDeeperThan(data, DEPTH_MAX)) throw invalidField("data", `data is nested deeper than ${DEPTH_MAX} levels`);
  const loss = lossIn(data);
  if (loss !== undefined) throw invalidField("data", `data holds ${loss}`);
  const bytes = Buffer.byteLength(canonicalJson(data));
  if (bytes > DOCUMENT_BYTES_MAX) throw tooLarge(bytes, DOCUMENT_BYTES_MAX);
  if (isLayer(address)) checkLayer(data, address.scope);
  if (address.scope === "system" && address.scopeId === SYSTEM_TOPICS_ID) refuse(topicsFault(data), "data");
}

function checkLayer(data: JsonObject, scope: Scope): void {
  if (scope === "system" && Object.hasOwn(data, "bundles")) {
    const reason = "policy bundles do not belong into system/default";
    throw new Fault("CONFIG_KEY_FORBIDDEN", reason, { fields: [{ field: "data.bundles", reason }] });
  }
  refuse(safetyFault(data), "data.safety");
  refuse(limitsFault(data), "data");
  refuse(topicsFault(memberOf(data, "topics")), "data.topics");
  const bytes = Buffer.byteLength(canonicalJson(withoutInternals(data)));
  if (bytes > LAYER_BYTES_MAX[scope]) throw tooLarge(bytes, LAYER_BYTES_MAX[scope]);
}

/** Undefined also for null. */
export function memberOf(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? (object[name] ?? undefined) : undefined;
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Why the value would not come back as it went; undefined: it would. */
function lossIn(value: Json): string | undefined {
  if (typeof value === "string") return value.isWellFormed() ? undefined : "half a character";
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "a number that is too large";
  if (typeof value !== "object" || value === null) return undefined;
  for (const [name, member] of Object.entries(value)) {
    const loss = lossIn(name) ?? lossIn(member);
    if (loss !== undefined) return loss;
  }
  return undefined;
}

function checkedId(id: string): string {
  if (id.length > ID_CHARS_MAX || !id.isWellFormed())
    throw invalidField("scope_id", `scope_id must be text of at most ${ID_CHARS_MAX} characters`);
  return id;
}

function checkMeta(meta: Readonly<Record<string, string>>): void {
  const entries = Object.entries(meta);
  const bytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
  if (entries.length > META_MAX || bytes > META_BYTES_MAX)
    throw invalidField("meta", `meta has at most ${META_MAX} entries and ${META_BYTES_MAX} bytes`);
  if (entries.some(([name, value]) => !name.isWellFormed() || !value.isWellFormed()))
    throw invalidField("meta", "meta must be text");
}

function refuse(reason: string | undefined, field: string): void {
  if (reason !== undefined) throw new Fault("CONFIG_SCHEMA_VIOLATION", reason, { fields: [{ field, reason }] });
}

function tooLarge(bytes: number, most: number): Fault {
  const reason = `data has ${bytes} bytes, at most ${most} are allowed in this scope`;
  return new Fault("PAYLOAD_TOO_LARGE", reason, { fields: [{ field: "data", reason }] });
}
