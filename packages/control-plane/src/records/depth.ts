// How deep a JSON value is nested.
// Owns:          the measure, without recursion: what parses without a stack can be deeper than any stack.
// Must not know: why there is a limit.

export function isDeeperThan(value: unknown, levelsMax: number): boolean {
  let level: readonly object[] = isContainer(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > levelsMax) return true;
    level = level.flatMap((container) => Object.values(container).filter(isContainer));
  }
  return false;
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
