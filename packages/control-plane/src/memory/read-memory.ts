// Reading what lies behind a pointer, for the tenant whose job it belongs to.
// Owns:          that nobody is shown what is another's; the form of what is shown.
// Must not know: HTTP, which engine stores it.
// R1. The owner is looked up before the key: whatever is not the tenant's own is answered like what does not exist, and is not touched.
// R2. Where a key can be read in several ways, one reading that is another tenant's is enough to hide it.
// R3. References to secrets are blanked out, in bytes that are no text as well.

import { contextKey, pointerTo, resultKey } from "@cordum/protocol";
import type { Job } from "../jobs/job.ts";
import type { JobParts } from "../jobs/job-parts.ts";
import { contextKeyFor } from "../jobs/job-request.ts";
import { redactSecrets, redactText } from "../policy/secrets.ts";
import { Fault, invalidField, unreachable } from "../ports/fault.ts";
import type { Inspected } from "../ports/payloads.ts";
import type { MemoryKey } from "./memory-key.ts";

export interface MemoryReading {
  readonly pointer: string;
  /** As it is shown: without references to secrets. */
  readonly bytes: Uint8Array;
  /** Where the bytes are text. */
  readonly text?: string;
  /** Where the text is JSON. */
  readonly json?: { readonly value: unknown };
  readonly isRedacted: boolean;
}

/** Items of a list, set or map. */
export const MEMORY_ITEMS_MAX = 500;
const COLLECTION_BYTES_MAX = 1_048_576;

/** Faults: MEMORY_NOT_FOUND, INVALID_REQUEST, PAYLOAD_TOO_LARGE, PAYLOADS_UNAVAILABLE, STATE_*. */
export async function readMemory(
  memory: MemoryKey,
  { tenant, itemsMax }: { readonly tenant: string; readonly itemsMax: number },
  parts: JobParts,
  signal: AbortSignal,
): Promise<MemoryReading> {
  const { payloads, clock, settings } = parts;
  const until = clock.deadline(signal, settings.storeTimeoutMs);
  if (!(await isOwn(memory, tenant, parts, until))) throw notFound();
  const bytesMax = memory.kind === "memory" ? COLLECTION_BYTES_MAX : payloads.traits.bytesMax;
  const found = await payloads.inspect(memory.key, { itemsMax: Math.min(itemsMax, MEMORY_ITEMS_MAX), bytesMax }, until);
  if (found === undefined) throw notFound();
  return shown(memory, memory.kind === "memory" ? memoryBytes(found) : plainBytes(found));
}

async function isOwn(
  { kind, key, candidates }: MemoryKey,
  tenant: string,
  parts: JobParts,
  signal: AbortSignal,
): Promise<boolean> {
  const seen = await parts.jobs.loadMany(candidates, signal);
  const owners = seen.flatMap((found) => (found !== undefined && isOf(found.record, kind, key) ? [found.record] : []));
  return owners.length > 0 && owners.every((job) => job.tenant === tenant);
}

function isOf({ id, bodyHash }: Job, kind: MemoryKey["kind"], key: string): boolean {
  if (kind === "context") return key === contextKey(id) || key === contextKeyFor(id, bodyHash);
  return kind === "memory" || key === resultKey(id);
}

function plainBytes(found: Inspected): Uint8Array {
  if (found.kind === "bytes") return found.bytes;
  throw unsupported(found.kind === "other" ? found.name : found.kind);
}

/** As JSON that tells the type, as with the original. */
function memoryBytes(found: Inspected): Uint8Array {
  switch (found.kind) {
    case "bytes": {
      const text = textOf(found.bytes);
      const value =
        text === undefined ? { base64: Buffer.from(found.bytes).toString("base64") } : { value: parsedOr(text) };
      return json({ redis_type: "string", ...value });
    }
    case "list":
    case "set":
      return json({
        redis_type: found.kind,
        length: found.length,
        items: found.items.map((item) => parsedOr(lossy(item))),
      });
    case "map": {
      const items = found.items.map(([field, value]) => [lossy(field), parsedOr(lossy(value))]);
      return json({ redis_type: "hash", length: found.length, items: Object.fromEntries(items) });
    }
    case "other":
      throw unsupported(found.name);
    default:
      return unreachable(found);
  }
}

function shown({ key }: MemoryKey, bytes: Uint8Array): MemoryReading {
  const pointer = pointerTo(key);
  const text = textOf(bytes);
  if (text === undefined) {
    const redacted = redactText(Buffer.from(bytes).toString("latin1"));
    return { pointer, bytes: Buffer.from(redacted.value, "latin1"), isRedacted: redacted.changed };
  }
  const parsed = parse(text);
  const inside = redactSecrets(parsed);
  // A member that is written twice is in the text, not in the value.
  const outside = redactText(inside.changed ? JSON.stringify(inside.value) : text);
  const isRedacted = inside.changed || outside.changed;
  const reading = { pointer, bytes: Buffer.from(outside.value), text: outside.value, isRedacted };
  return parsed === undefined ? reading : { ...reading, json: { value: inside.value } };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Undefined for bytes that are no UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

function lossy(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}

/** JSON where the text is that, else the text. */
function parsedOr(text: string): unknown {
  const parsed = parse(text);
  return parsed === undefined ? text : parsed;
}

/** Undefined for what is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function notFound(): Fault {
  return new Fault("MEMORY_NOT_FOUND", "not found");
}

function unsupported(type: string): Fault {
  return invalidField("ptr", `unsupported redis key type: ${type}`);
}
