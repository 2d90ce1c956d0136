// Input: from the context blob of a job to what its handler gets.
// Owns:          which part of the blob is the input; validation; refusing JSON that could poison objects.
// Must not know: where the blob lies.
// I1. A blob written by a submit over REST holds `topic` (the job's) and `created_at` beside the caller's `context`. There the
//     input is `context` when present, else the whole blob. Any other blob (a workflow step's input) is the input itself.
// I2. With a schema that order is tried: the part of I1 first, then the other one. The first that fits is the input; when none
//     fits, the failure tells what is wrong with the first.
// I3. A member `__proto__` anywhere is refused: whoever merges the input later must not be poisoned.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { FailureError } from "./failure.ts";
import { messageOf } from "./log.ts";

export interface JobInput {
  /** The blob as it was stored; undefined when the job has no context. */
  readonly raw: unknown;
  /** What may be the input, in the order in which it is tried. Never empty. */
  readonly candidates: readonly [unknown, ...unknown[]];
}

const NOTHING: JobInput = { raw: undefined, candidates: [undefined] };

/** Throws FailureError INVALID_INPUT. `bytes`: undefined for a job without context. */
export function parseInput(bytes: Uint8Array | undefined, topic: string): JobInput {
  if (bytes === undefined) return NOTHING;
  const raw = parseJson(bytes);
  if (typeof raw !== "object" || raw === null || Array.isArray(raw) || !Object.hasOwn(raw, "context"))
    return { raw, candidates: [raw] };
  const blob = raw as { readonly context?: unknown; readonly topic?: unknown; readonly created_at?: unknown };
  if (blob.context === null || blob.context === undefined) return { raw, candidates: [raw] };
  const submitted = blob.topic === topic && typeof blob.created_at === "string";
  return { raw, candidates: submitted ? [blob.context, raw] : [raw, blob.context] };
}

/** The first candidate that fits, as the schema gives it back. Throws FailureError INVALID_INPUT. */
export async function validateInput<T>(schema: StandardSchemaV1<unknown, T>, input: JobInput): Promise<T> {
  let problem: string | undefined;
  for (const candidate of input.candidates) {
    const result = await validate(schema, candidate, "INVALID_INPUT");
    if (result.issues === undefined) return result.value;
    problem ??= describeIssues(result.issues);
  }
  throw new FailureError("INVALID_INPUT", `input does not fit: ${problem}`);
}

/** What the schema makes of a handler's return value. Throws FailureError INVALID_OUTPUT. */
export async function validateOutput(schema: StandardSchemaV1, value: unknown): Promise<unknown> {
  const result = await validate(schema, value, "INVALID_OUTPUT");
  if (result.issues === undefined) return result.value;
  throw new FailureError("INVALID_OUTPUT", `output does not fit: ${describeIssues(result.issues)}`);
}

async function validate<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  code: "INVALID_INPUT" | "INVALID_OUTPUT",
): Promise<StandardSchemaV1.Result<T>> {
  try {
    return await schema["~standard"].validate(value);
  } catch (cause) {
    throw new FailureError(code, `the schema itself failed: ${messageOf(cause)}`, cause);
  }
}

const ISSUES_MAX = 10;

function describeIssues(issues: readonly StandardSchemaV1.Issue[]): string {
  const said = issues.slice(0, ISSUES_MAX).map((issue) => {
    const path = (issue.path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return path === "" ? issue.message : `${path}: ${issue.message}`;
  });
  if (issues.length > ISSUES_MAX) said.push(`and ${issues.length - ISSUES_MAX} more`);
  return said.join("; ");
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function parseJson(bytes: Uint8Array): unknown {
  let value: unknown;
  let text: string;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    // The parser's own message quotes the text, and with it somebody's data.
    throw new FailureError("INVALID_INPUT", "the context is not JSON", cause);
  }
  // The name can also be spelled with escapes, so these are looked at as well.
  if ((text.includes("__proto__") || text.includes("\\u")) && holdsProto(value)) {
    throw new FailureError("INVALID_INPUT", "the context holds a member __proto__");
  }
  return value;
}

/** Without recursion: the depth of a hostile text must not decide about our stack. */
function holdsProto(value: unknown): boolean {
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== "object" || next === null) continue;
    if (Object.hasOwn(next, "__proto__")) return true;
    for (const member of Object.values(next)) open.push(member);
  }
  return false;
}
