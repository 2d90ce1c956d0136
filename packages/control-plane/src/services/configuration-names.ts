// Names that look like settings and are none.
// Owns:          finding them, and the known name that was probably meant.
// Must not know: values.

import { ALL_SETTINGS, CLIENT_NAMES } from "./configuration-settings.ts";

export interface UnknownName {
  readonly name: string;
  /** The known name that is most like it, when one is near enough to be meant. */
  readonly nearest: string | undefined;
}

/** Only names of ours can be judged: others belong to other programs. */
const OURS = "CORDUM_";
const NAME_CHARS_MAX = 100;
const UNKNOWN_MAX = 50;

/** The first 50, in the order of `names`. */
export function unknownNames(names: readonly string[]): readonly UnknownName[] {
  const known = [...ALL_SETTINGS.map((setting) => setting.name), ...CLIENT_NAMES];
  const all = new Set(known);
  return names
    .filter((name) => name.startsWith(OURS) && !all.has(name))
    .slice(0, UNKNOWN_MAX)
    .map((name) => ({ name, nearest: nearestOf(name, known) }));
}

export function describeUnknownName({ name, nearest }: UnknownName): string {
  return `${name} is no setting of Cordum and is ignored${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
}

/** Near enough: two letters (one transposition), or a quarter of those behind the prefix. */
function nearestOf(name: string, known: readonly string[]): string | undefined {
  if (name.length > NAME_CHARS_MAX) return undefined;
  const allowed = Math.max(2, Math.floor((name.length - OURS.length) / 4));
  const [best] = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .filter(({ distance }) => distance <= allowed)
    .sort((a, b) => a.distance - b.distance);
  return best?.candidate;
}

/** Letters to insert, delete or replace (Levenshtein, 1965). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replaced));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
