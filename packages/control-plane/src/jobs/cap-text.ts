// Texts from outside, cut to a length.
// Owns:          cutting so that what is left is still text: half a character at the cut would be refused by every store.
// Must not know: whose text it is.

/** At most `charsMax` UTF-16 code units, well-formed. */
export function capText(text: string, charsMax: number): string {
  return text.slice(0, charsMax).toWellFormed();
}
