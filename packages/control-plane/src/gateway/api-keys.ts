// API keys, from the forms in which they are configured to what a credential is checked against.
// Owns:          reading every configured form; hashing.
// Must not know: the environment (values are handed in), requests.
// K1. A key is kept as its SHA-256 and nothing else; no fault, no log line and no identity holds it.
// K2. All faults are told together, by the place they were found in. Whatever is configured and unusable stops the start.
// K3. No usable key is a fault, unless the open mode is asked for explicitly; where keys exist, that wish changes nothing.

import { hash } from "node:crypto";
import type { EpochMs } from "../ports/time.ts";
import { isPrincipalName, isTenantName } from "./identity.ts";
import { parseRole, ROLES, type Role } from "./permissions.ts";

/** Values of the settings as they were configured; undefined = not set. */
export interface KeySources {
  /** CORDUM_API_KEYS: a comma list, or JSON. */
  readonly keys: string | undefined;
  /** Content of the file CORDUM_API_KEYS_PATH, in the same forms. */
  readonly file: string | undefined;
  /** CORDUM_SUPER_SECRET_API_TOKEN, CORDUM_API_KEY, API_KEY in this order: the first that is not empty counts. */
  readonly single: readonly (string | undefined)[];
  readonly defaultTenant: string;
  /** CORDUM_ALLOW_INSECURE_NO_AUTH: everybody is an admin of the default tenant. */
  readonly allowsNoKeys: boolean;
}

export interface ApiKey {
  /** Lower-case hex SHA-256. */
  readonly hash: string;
  readonly tenant: string;
  readonly role: Role;
  readonly principal: string;
  readonly expiresAt: EpochMs | "never";
  readonly allowCrossTenant: boolean;
  /** May say in whose name it calls. */
  readonly actsForOthers: boolean;
}

export interface ParsedKeys {
  readonly keys: readonly ApiKey[];
  /** Sentences without secrets. Not empty: refuse to start. */
  readonly faults: readonly string[];
}

const SOURCE_CHARS_MAX = 4_194_304;
const KEYS_MAX = 10_000;
/** What an HTTP header carries unchanged, whatever client writes it. */
const KEY_FORM = /^[\x20-\x7e]{1,512}$/;
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** Source of the forms: baseline's CORDUM_API_KEYS and the records of the later generation. */
export function parseApiKeys(sources: KeySources): ParsedKeys {
  const reading: Reading = { sources, byHash: new Map(), faults: [] };
  readSource(sources.keys, "CORDUM_API_KEYS", reading);
  readSource(sources.file, "CORDUM_API_KEYS_PATH", reading);
  const single = sources.single.map((value) => normaliseKey(value ?? "")).find((value) => value !== "");
  if (single !== undefined) addRecord({ key: single }, "CORDUM_API_KEY", reading);
  const keys = [...reading.byHash.values()];
  if (keys.length > KEYS_MAX)
    reading.faults.push(`${keys.length} API keys are configured; at most ${KEYS_MAX} are supported`);
  if (keys.length === 0 && reading.faults.length === 0 && !sources.allowsNoKeys) {
    reading.faults.push(
      "no API key is configured: set CORDUM_API_KEYS, or CORDUM_ALLOW_INSECURE_NO_AUTH=true to let everybody in",
    );
  }
  return { keys, faults: reading.faults };
}

/** As configured or presented: without blanks and quotes around it. */
export function normaliseKey(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isPadding(text.charCodeAt(start))) start++;
  while (end > start && isPadding(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** Lower-case hex SHA-256 of a normalised key. */
export function hashKey(key: string): string {
  return hash("sha256", key, "hex");
}

export function keyIdOf(hashHex: string): string {
  return hashHex.slice(0, 12);
}

interface Reading {
  readonly sources: KeySources;
  readonly byHash: Map<string, ApiKey>;
  readonly faults: string[];
}

function readSource(value: string | undefined, source: string, reading: Reading): void {
  const text = value?.trim() ?? "";
  if (text === "") return;
  if (text.length > SOURCE_CHARS_MAX) {
    reading.faults.push(`${source} is longer than ${SOURCE_CHARS_MAX} characters`);
    return;
  }
  const before = reading.byHash.size + reading.faults.length;
  if (text.startsWith("[") || text.startsWith("{")) readJson(text, source, reading);
  else for (const [at, item] of text.split(",").entries()) readItem(item.trim(), `${source}, item ${at + 1}`, reading);
  if (reading.byHash.size + reading.faults.length === before) reading.faults.push(`${source} is set but holds no key`);
}

/** `key` or `tenant:key[:role[:principal]]`. */
function readItem(item: string, where: string, reading: Reading): void {
  if (item === "") return;
  const parts = item.split(":");
  if (parts.length > 4) {
    reading.faults.push(`${where} has more than four parts; a key that holds ":" or "," needs the JSON form`);
    return;
  }
  const [tenant, key, role, principal] = parts;
  if (key === undefined) addRecord({ key: item }, where, reading);
  else addRecord({ key, tenant, role: role === "" ? undefined : role, principal_id: principal }, where, reading);
}

/** An array of records, a map from key to record, or `{"keys": […]}`. */
function readJson(text: string, source: string, reading: Reading): void {
  const value = parseJson(text);
  if (value === undefined) {
    reading.faults.push(`${source} is not valid JSON`);
    return;
  }
  const wrapped = isObject(value) && Array.isArray(value.keys) ? value.keys : value;
  if (Array.isArray(wrapped)) {
    for (const [at, record] of wrapped.entries()) {
      if (isObject(record)) addRecord(record, `${source}, record ${at + 1}`, reading);
      else reading.faults.push(`${source}, record ${at + 1} is not an object`);
    }
    return;
  }
  if (!isObject(wrapped)) return;
  for (const [at, [key, record]] of Object.entries(wrapped).entries()) {
    const where = `${source}, entry ${at + 1}`;
    if (record === null) addRecord({ key }, where, reading);
    else if (isObject(record)) addRecord({ ...record, key }, where, reading);
    else reading.faults.push(`${where} is not an object`);
  }
}

type Members = { readonly [member: string]: unknown };

function addRecord(record: Members, where: string, reading: Reading): void {
  const key = normaliseKey(textOf(record.key) ?? "");
  if (key === "" && (record.key === undefined || typeof record.key === "string")) return;
  const added = parseRecord(key, record, reading.sources.defaultTenant);
  if (typeof added === "string") {
    reading.faults.push(`${where}: ${added}`);
    return;
  }
  const known = reading.byHash.get(added.hash);
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(added)) {
    reading.faults.push(`${where}: the same key is configured twice with different rights`);
  }
  reading.byHash.set(added.hash, added);
}

/** The key, or what is wrong with its record. */
function parseRecord(key: string, record: Members, defaultTenant: string): ApiKey | string {
  if (!KEY_FORM.test(key)) return "a key must be 1 to 512 printable ASCII characters, which every HTTP client can send";
  const tenant = textOf(record.tenant) || defaultTenant;
  const role = parseRole(textOf(record.role) || "admin");
  const principal = textOf(record.principal_id) ?? "";
  const expiresAt = expiryOf(record.expires_at);
  const crosses = record.allow_cross_tenant ?? false;
  const actsForOthers = record.acts_for_others ?? false;
  if (!isTextOrAbsent(record.tenant) || !isTenantName(tenant)) {
    return "tenant must be 1 to 128 letters, digits, _ . or -, beginning with a letter or digit";
  }
  if (!isTextOrAbsent(record.role) || role === undefined) return `unknown role; expected one of ${ROLES.join(", ")}`;
  if (!isTextOrAbsent(record.principal_id) || (principal !== "" && !isPrincipalName(principal))) {
    return "principal_id must be at most 256 printable characters";
  }
  if (expiresAt === undefined) return "expires_at must be an RFC 3339 time";
  if (typeof crosses !== "boolean") return "allow_cross_tenant must be true or false";
  if (typeof actsForOthers !== "boolean") return "acts_for_others must be true or false";
  const hashed = hashKey(key);
  return {
    hash: hashed,
    tenant,
    role,
    principal: principal === "" ? `key:${keyIdOf(hashed)}` : principal,
    expiresAt,
    allowCrossTenant: crosses,
    actsForOthers,
  };
}

/** Undefined: not a time. */
function expiryOf(value: unknown): EpochMs | "never" | undefined {
  if (value === undefined || value === null || value === "") return "never";
  if (typeof value !== "string" || !RFC3339.test(value)) return undefined;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : at;
}

function isPadding(code: number): boolean {
  return code === 0x20 || code === 0x22 || code === 0x27 || (code >= 0x09 && code <= 0x0d);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value.trim() : undefined;
}

function isTextOrAbsent(value: unknown): boolean {
  return value === undefined || value === null || typeof value === "string";
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
