// Which keys of the payload store may be looked at, and whose they can be.
// Owns:          reading a pointer or a key as clients of the original send it; the jobs that a key can belong to.
// Must not know: stores, HTTP.
// M1. Only `ctx:`, `res:` and `mem:` name something here; no other key of the store is ever asked for.
// M2. A key is a job's by the job id inside it. Ids may hold dots and colons, so one key can be read in several ways: each is a candidate.
// M3. Memory under a name that submitters choose freely belongs to nobody in particular, so nobody is shown it.

import { parsePointer, pointerTo } from "@cordum/protocol";
import { invalidField } from "../ports/fault.ts";

export type MemoryKind = "context" | "result" | "memory";

export interface MemoryKey {
  readonly kind: MemoryKind;
  readonly key: string;
  /** Ids of jobs whose it may be. */
  readonly candidates: readonly string[];
}

const KINDS: ReadonlyMap<string, MemoryKind> = new Map([
  ["ctx:", "context"],
  ["res:", "result"],
  ["mem:", "memory"],
]);
const PREFIX = "redis://";
const KEY_FORM = /^[\x21-\x7e]{5,512}$/;

/** `key` wins over `ptr`; blanks and quotes around them do not count. Fault INVALID_REQUEST. */
export function parseMemoryKey(given: { readonly ptr: string; readonly key: string }): MemoryKey {
  const [ptr, key] = [unquoted(given.ptr), unquoted(given.key)];
  if (key !== "") return keyOf(key.startsWith(PREFIX) ? key : pointerTo(key), "key", "invalid key pointer");
  if (ptr !== "") return keyOf(ptr, "ptr", "invalid pointer");
  throw invalidField("ptr", "missing ptr or key");
}

function keyOf(pointer: string, field: string, says: string): MemoryKey {
  const parsed = parsePointer(pointer);
  if (parsed.kind !== "key") throw invalidField(field, says);
  const key = parsed.fallbackKey ?? parsed.key;
  const kind = KINDS.get(key.slice(0, 4));
  if (kind === undefined) throw invalidField(field, "unsupported pointer key (only ctx:*, res:*, or mem:*)");
  if (!KEY_FORM.test(key)) throw invalidField(field, says);
  return { kind, key, candidates: candidatesOf(kind, key.slice(4)) };
}

/** Of a context: with and without the mark of a body (jobs/job-request.ts). Of memory: `<job>`, `mem:<job>` (as a job without a memory of its
 *  own is told), each with and without the name of a part. */
function candidatesOf(kind: MemoryKind, rest: string): readonly string[] {
  if (kind === "result") return [rest];
  if (kind === "context") return unique([rest, rest.replace(/\.[0-9a-f]{12}$/, "")]);
  const ids = [rest, rest.replace(/^mem:/, "")];
  return unique([...ids, ...ids.map((id) => id.replace(/:(?:events|summary|chunks|chunk:\d{1,9})$/, ""))]);
}

function unique(ids: readonly string[]): readonly string[] {
  return [...new Set(ids)].filter((id) => id !== "");
}

function unquoted(text: string): string {
  return text
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim();
}
