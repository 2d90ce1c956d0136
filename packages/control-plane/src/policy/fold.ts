// Comparison of names without regard to case.
// Owns:          the one form in which tenants, tags, capabilities, packs, actors and MCP names are compared.
// Must not know: what is compared.
// Simple (one to one) folding: "ß" is not "ss", or two different tenants could become one.

/** Trimmed and case-folded: equal results mean equal names. Never throws. */
export function fold(text: string): string {
  const trimmed = text.trim();
  return isAscii(trimmed) ? trimmed.toLowerCase() : foldEach(trimmed);
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

function foldEach(text: string): string {
  let folded = "";
  for (const character of text) folded += foldCharacter(character);
  return folded;
}

// Through upper case first, because characters such as "ſ" and "ς" meet their relatives only there.
function foldCharacter(character: string): string {
  const upper = one(character.toUpperCase(), character);
  return one(upper.toLowerCase(), upper);
}

/** `mapped` if it is a single character, else `otherwise`. */
function one(mapped: string, otherwise: string): string {
  const code = mapped.codePointAt(0) ?? 0;
  return mapped.length === (code > 0xffff ? 2 : 1) ? mapped : otherwise;
}
