// References to secrets in what people submit.
// Owns:          how a reference looks, finding it and blanking it out.
// Must not know: where secrets lie, what is done with a job that names one.
// K1. A reference counts wherever it stands: alone, inside a longer text, in a key, in JSON that is itself a text (`secret:\/\/`).
// K2. What is too large or too deep to look through counts as containing one: it is judged as if, and shown to nobody.
// K3. Whoever writes JSON for readers writes it through redactJson: answers, events, frames, whatever is in them.

/** Replaces a reference, as the SDKs do. */
export const REDACTED = "<redacted>";
/** What the control plane adds to a job that refers to a secret. */
export const SECRETS_RISK_TAG = "secrets";
export const SECRETS_LABEL = "secrets_present";

const VALUES_MAX = 1_000_000;
const DEPTH_MAX = 64;
// Both are linear: no alternatives that begin alike, nothing repeated inside a repetition.
const HINT = /secret:/i;
const REFERENCE = /secret:(?:\\?\/){2}/i;
const REFERENCES = /secret:(?:\\?\/){2}(?:\\\/|[^\s"'`<>\\])*/gi;

/** Whether a JSON value refers to a secret. Never throws. */
export function refersToSecret(value: unknown): boolean {
  const open: unknown[] = [value];
  for (let seen = 0; open.length > 0; seen++) {
    if (seen + open.length > VALUES_MAX) return true;
    const next = open.pop();
    if (typeof next === "string" && REFERENCE.test(next)) return true;
    if (typeof next !== "object" || next === null) continue;
    if (Array.isArray(next)) for (const item of next) open.push(item);
    else for (const [key, member] of Object.entries(next)) open.push(key, member);
  }
  return false;
}

export interface Redaction<T> {
  readonly value: T;
  readonly changed: boolean;
}

/** The text with every reference replaced. */
export function redactText(text: string): Redaction<string> {
  const value = text.replace(REFERENCES, REDACTED);
  return { value, changed: value !== text };
}

/** A copy of a JSON value with every reference replaced, in keys as well; what lies deeper than 64 levels is replaced whole. */
export function redactSecrets(value: unknown): Redaction<unknown> {
  const marks = { changed: false };
  return { value: redact(value, 0, marks), changed: marks.changed };
}

/** JSON that we have written ourselves (no escaped letters in it), with every reference replaced; the same text where there is none. Cheap
 *  where nothing looks like one. */
export function redactJson(text: string): string {
  if (!HINT.test(text)) return text;
  const parsed = parse(text);
  if (parsed === undefined) return redactText(text).value;
  const { value, changed } = redactSecrets(parsed);
  return changed ? JSON.stringify(value) : text;
}

/** Undefined for what is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function redact(value: unknown, depth: number, marks: { changed: boolean }): unknown {
  if (typeof value === "string") return redactMarked(value, marks);
  if (typeof value !== "object" || value === null) return value;
  if (depth === DEPTH_MAX) {
    marks.changed = true;
    return REDACTED;
  }
  if (Array.isArray(value)) return value.map((item: unknown) => redact(item, depth + 1, marks));
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [redactMarked(key, marks), redact(member, depth + 1, marks)]),
  );
}

function redactMarked(text: string, marks: { changed: boolean }): string {
  const { value, changed } = redactText(text);
  if (changed) marks.changed = true;
  return value;
}
