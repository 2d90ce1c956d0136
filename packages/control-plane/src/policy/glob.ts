// Globs of topics.
// Owns:          the grammar of a pattern and whether a topic matches it.
// Must not know: rules, tenants, where a pattern comes from.
// G1. A pattern matches the whole text, case-sensitively: `*` and `**` any run without "/" (dots included), `?` one character but "/",
//     `[a-z]` and `[^a]` one character of or not of a class, `\x` the character x; everything else itself.
// G2. The time is at most (length of pattern) x (length of text), whatever both are: all positions of the pattern that are still
//     possible are kept side by side. Regular expressions are not used: their time depends on who writes the pattern.
// G3. What cannot be meant is malformed and has a reason, because a pattern that silently never matches makes a deny rule inert.

export const GLOB_CHARACTERS_MAX = 512;

export interface Glob {
  readonly kind: "glob";
  /** As written, trimmed. */
  readonly pattern: string;
  /** The only text that matches, when there is just one. */
  readonly exact: string | undefined;
  /** Every text that matches begins with this. */
  readonly prefix: string;
  /** … and ends with this. */
  readonly suffix: string;
  matches(text: string): boolean;
}

export interface MalformedGlob {
  readonly kind: "malformed";
  readonly reason: string;
}

/** Parses a pattern; surrounding blanks do not count. Never throws. */
export function parseGlob(written: string): Glob | MalformedGlob {
  const pattern = written.trim();
  if (pattern === "") return malformed("an empty pattern matches nothing");
  if (pattern.length > GLOB_CHARACTERS_MAX) return malformed(`a pattern has at most ${GLOB_CHARACTERS_MAX} characters`);
  const tokens = tokenize([...pattern]);
  if (!Array.isArray(tokens)) return tokens;
  const edges = edgesOf(tokens);
  return { kind: "glob", pattern, ...edges, matches: matcherOf(tokens, edges) };
}

type Token =
  | { readonly is: "literal"; readonly code: number }
  | { readonly is: "one" }
  | { readonly is: "run" }
  | { readonly is: "class"; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] };

const SLASH = 0x2f;

function malformed(reason: string): MalformedGlob {
  return { kind: "malformed", reason };
}

function tokenize(characters: readonly string[]): Token[] | MalformedGlob {
  const tokens: Token[] = [];
  for (let i = 0; i < characters.length; ) {
    const character = characters[i];
    if (character === "[") {
      const parsed = parseClass(characters, i + 1);
      if ("kind" in parsed) return parsed;
      tokens.push(parsed.token);
      i = parsed.next;
      continue;
    }
    if (character === "\\") {
      i++;
      if (i === characters.length) return malformed("a backslash at the end escapes nothing");
    }
    const token = character === "\\" ? literal(characters[i]) : simpleToken(character);
    if (!(token.is === "run" && tokens.at(-1)?.is === "run")) tokens.push(token);
    i++;
  }
  return tokens;
}

function simpleToken(character: string | undefined): Token {
  if (character === "*") return { is: "run" };
  return character === "?" ? { is: "one" } : literal(character);
}

function literal(character: string | undefined): Token {
  return { is: "literal", code: codeOf(character) };
}

function codeOf(character: string | undefined): number {
  return character?.codePointAt(0) ?? 0;
}

/** `start` is behind the opening bracket. */
function parseClass(
  characters: readonly string[],
  start: number,
): { readonly token: Token; readonly next: number } | MalformedGlob {
  const negated = characters[start] === "^";
  const ranges: (readonly [number, number])[] = [];
  let i = negated ? start + 1 : start;
  while (characters[i] !== "]") {
    const low = classCharacter(characters, i);
    if ("kind" in low) return low;
    i = low.next;
    let high = low;
    if (characters[i] === "-") {
      const end = classCharacter(characters, i + 1);
      if ("kind" in end) return end;
      high = end;
      i = end.next;
    }
    if (high.code < low.code) return malformed("a range in a class runs backwards");
    ranges.push([low.code, high.code]);
  }
  if (ranges.length === 0) return malformed("a class is empty");
  return { token: { is: "class", negated, ranges }, next: i + 1 };
}

function classCharacter(
  characters: readonly string[],
  at: number,
): { readonly code: number; readonly next: number } | MalformedGlob {
  const escaped = characters[at] === "\\";
  const character = characters[escaped ? at + 1 : at];
  if (character === undefined) return malformed("a class is not closed with ]");
  if (!escaped && (character === "-" || character === "]")) {
    return malformed(`"${character}" in a class needs a backslash before it`);
  }
  return { code: codeOf(character), next: escaped ? at + 2 : at + 1 };
}

type Edges = Pick<Glob, "exact" | "prefix" | "suffix">;

function edgesOf(tokens: readonly Token[]): Edges {
  const first = tokens.findIndex((token) => token.is !== "literal");
  if (first === -1) {
    const exact = textOf(tokens);
    return { exact, prefix: exact, suffix: exact };
  }
  const last = tokens.findLastIndex((token) => token.is !== "literal");
  return { exact: undefined, prefix: textOf(tokens.slice(0, first)), suffix: textOf(tokens.slice(last + 1)) };
}

function textOf(tokens: readonly Token[]): string {
  return tokens.map((token) => (token.is === "literal" ? String.fromCodePoint(token.code) : "")).join("");
}

// The short ways cover nearly all patterns that people write: `job.mail.send`, `job.mail.*` and `job.*.send`.
function matcherOf(tokens: readonly Token[], { prefix, suffix, exact }: Edges): (text: string) => boolean {
  if (exact !== undefined) return (text) => text === exact;
  const wild = tokens.filter((token) => token.is !== "literal");
  if (wild.length === 1 && wild[0]?.is === "run") {
    const lengthMin = prefix.length + suffix.length;
    return (text) =>
      text.length >= lengthMin &&
      text.startsWith(prefix) &&
      text.endsWith(suffix) &&
      isRun(text, prefix.length, suffix.length);
  }
  return (text) => text.startsWith(prefix) && text.endsWith(suffix) && simulate(tokens, text);
}

/** Whether what lies between the first `before` and the last `after` code units is without slash. */
function isRun(text: string, before: number, after: number): boolean {
  const slash = text.indexOf("/", before);
  return slash === -1 || slash >= text.length - after;
}

/** Position n means that the first n tokens have matched what was read so far. */
function simulate(tokens: readonly Token[], text: string): boolean {
  const lastEntered = new Int32Array(tokens.length + 1).fill(-1);
  let here: number[] = [];
  let next: number[] = [];
  const enter = (position: number, step: number): void => {
    if (lastEntered[position] === step) return;
    lastEntered[position] = step;
    next.push(position);
    if (tokens[position]?.is === "run") enter(position + 1, step);
  };
  enter(0, 0);
  let step = 0;
  for (const character of text) {
    [here, next] = [next, here];
    next.length = 0;
    step++;
    const code = codeOf(character);
    for (const position of here) {
      const token = tokens[position];
      if (token !== undefined && accepts(token, code)) enter(token.is === "run" ? position : position + 1, step);
    }
    if (next.length === 0) return false;
  }
  return lastEntered[tokens.length] === step;
}

function accepts(token: Token, code: number): boolean {
  if (token.is === "literal") return token.code === code;
  if (token.is === "class") return token.ranges.some(([low, high]) => low <= code && code <= high) !== token.negated;
  return code !== SLASH;
}
