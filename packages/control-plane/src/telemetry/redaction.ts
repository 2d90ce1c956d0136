// What never leaves the house in a log line.
// Owns:          which fields and which parts of texts are hidden.
// Must not know: who logs.
// X1. Every pattern is linear in the text, and texts are cut before they are searched.

export const HIDDEN = "[redacted]";
const TEXT_CHARS_MAX = 8_192;
/** Of keys that were made through the API. One that is cut off in the middle is hidden as well. */
const KEY_PREFIX = "cordum_";

/** Whole words of a field's name that make its value a secret. */
const SECRET_WORDS = new Set([
  "key",
  "apikey",
  "secret",
  "password",
  "passwd",
  "token",
  "authorization",
  "cookie",
  "credential",
]);

/** A field named so is hidden as a whole: its last word is one of SECRET_WORDS (`apiKey`, `x-api-key`; not `keyId`). */
export function isSecretName(field: string): boolean {
  const words = field
    .slice(0, 200)
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "");
  return SECRET_WORDS.has(words.at(-1) ?? "");
}

/** The text without API keys, references to secrets and passwords inside URLs, cut to 8,192 characters. */
export function redactText(text: string): string {
  const whole = text.length <= TEXT_CHARS_MAX ? text : `${text.slice(0, TEXT_CHARS_MAX)}…`;
  const cut = whole.includes(KEY_PREFIX) ? whole.replace(/cordum_[0-9A-Za-z]{40,60}/g, HIDDEN) : whole;
  if (!cut.includes(":")) return cut;
  return cut
    .replace(/secret:(?:\\{0,3}\/){2}(?:\\{1,3}\/|[^\s"'<>,;)\]}\\])*/gi, `secret://${HIDDEN}`)
    .replace(/:\/\/[^\s/@"'<>]{1,512}@/g, `://${HIDDEN}@`);
}
