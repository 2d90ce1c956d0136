// Error signatures: dead letters that died of the same thing have the same one.
// Owns:          which words of a message tell what happened, and which only tell where and when.
// Must not know: State, jobs.
// E1. One pass over a bounded part of the message, with no regular expression over more than a word: hostile messages cost no more than others.
// E2. What differs from case to case becomes a placeholder: numbers, ids, hashes, addresses, quoted texts, times. What is left is the pattern.
// E3. Code and topic are part of the signature: "timeout" of two topics are two errors.

import { createHash } from "node:crypto";

export interface ErrorSignature {
  /** 16 hex digits. */
  readonly signature: string;
  /** The message with placeholders, for people. */
  readonly pattern: string;
}

/** So much of a message is read; stack traces tell the rest. */
const READ_CHARS_MAX = 1_024;
const PATTERN_CHARS_MAX = 256;
const QUOTED_CHARS_MAX = 200;
/** Words this long that hold digits name something. */
const ID_CHARS_MIN = 16;
const HASH_CHARS_MIN = 8;

export function signatureOf(error: {
  readonly code: string;
  readonly topic: string;
  readonly message: string;
}): ErrorSignature {
  const pattern = patternOf(error.message);
  const hash = createHash("sha256").update(JSON.stringify([error.code, error.topic, pattern]));
  return { signature: hash.digest("hex").slice(0, 16), pattern };
}

export function patternOf(message: string): string {
  const text = message.slice(0, READ_CHARS_MAX).toWellFormed();
  const parts: string[] = [];
  let chars = 0;
  for (let at = 0; at < text.length && chars < PATTERN_CHARS_MAX; ) {
    const { part, end } = partAt(text, at);
    const isRepeat = part === parts.at(-1) && (part === " " || part === "<n>");
    if (!isRepeat) {
      parts.push(part);
      chars += part.length;
    }
    at = end;
  }
  return parts.join("").slice(0, PATTERN_CHARS_MAX).trim();
}

interface Part {
  readonly part: string;
  readonly end: number;
}

function partAt(text: string, at: number): Part {
  const char = text.charAt(at);
  if (isBlank(char)) return { part: " ", end: at + 1 };
  if (isQuote(char)) {
    const end = endOfQuoted(text, at);
    if (end !== undefined) return { part: "<text>", end };
  }
  if (!isOfWord(char)) return { part: char, end: at + 1 };
  let end = at + 1;
  while (end < text.length && isOfWord(text.charAt(end))) end++;
  return { part: placeholderOf(text.slice(at, end)), end };
}

/** An apostrophe within a word quotes nothing. */
function endOfQuoted(text: string, at: number): number | undefined {
  const quote = text.charAt(at);
  if (quote === "'" && at > 0 && isOfWord(text.charAt(at - 1))) return undefined;
  const last = Math.min(text.length - 1, at + QUOTED_CHARS_MAX + 1);
  for (let end = at + 1; end <= last; end++) if (text.charAt(end) === quote) return end + 1;
  return undefined;
}

function placeholderOf(word: string): string {
  if (word.includes("@")) return "<address>";
  if (!/[0-9]/.test(word)) return word;
  const isHash = word.length >= HASH_CHARS_MIN && /^(?:0x)?[0-9a-f]+$/i.test(word) && /[a-f]/i.test(word);
  if (isHash || (word.length >= ID_CHARS_MIN && /[A-Za-z]/.test(word))) return "<id>";
  return word.replace(/[0-9]+(?:[.,:][0-9]+)*/g, "<n>");
}

function isBlank(char: string): boolean {
  return char <= " " || char === "\u00a0" || char === "\u2028";
}

function isQuote(char: string): boolean {
  return char === '"' || char === "'" || char === "`";
}

/** Letters of any script, digits, and what joins them to one name. A slash or an equals sign does not: of paths and settings the fixed parts stay. */
function isOfWord(char: string): boolean {
  return WORD.test(char);
}

const WORD = /[\p{L}\p{N}_.:@+-]/u;
