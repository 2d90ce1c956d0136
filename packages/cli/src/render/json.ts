// JSON for programs.
// Owns:          its layout: two blanks, one value per call.
// Must not know: what is in it.

/** As text; control characters are escaped, those of C1 too, since it may end on a terminal. */
export function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2).replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
