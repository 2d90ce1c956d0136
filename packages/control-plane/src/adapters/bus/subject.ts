// Subjects and who hears them.
// Owns:          what a valid subject is; which patterns match it.
// Must not know: messages, handlers.

import { Fault } from "../../ports/fault.ts";

const SUBJECT_CHARS_MAX = 512;
/** Printable ASCII without space, `*` and `>`: what every bus can carry. */
const TOKEN = /^[!-)+-=?-~]+$/;

/** The tokens of a subject to publish on. Throws INVALID_REQUEST when it is empty, too long, has an empty token, or a wildcard. */
export function parseSubject(subject: string): readonly string[] {
  const tokens = split(subject);
  if (!tokens.every((token) => TOKEN.test(token))) throw invalid(subject);
  return tokens;
}

/** The tokens of a pattern to subscribe to: a subject in which `*` stands for one token and a last `>` for one or more. */
export function parsePattern(pattern: string): readonly string[] {
  const tokens = split(pattern);
  const last = tokens.length - 1;
  const valid = tokens.every((token, at) => token === "*" || (token === ">" && at === last) || TOKEN.test(token));
  if (!valid) throw invalid(pattern);
  return tokens;
}

export function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  for (const [at, token] of pattern.entries()) {
    if (token === ">") return subject.length > at;
    if (token !== "*" && token !== subject[at]) return false;
  }
  return pattern.length === subject.length;
}

function split(subject: string): readonly string[] {
  if (subject.length === 0 || subject.length > SUBJECT_CHARS_MAX) throw invalid(subject);
  return subject.split(".");
}

function invalid(subject: string): Fault {
  return new Fault("INVALID_REQUEST", `not a subject: ${JSON.stringify(subject.slice(0, 80))}`);
}
