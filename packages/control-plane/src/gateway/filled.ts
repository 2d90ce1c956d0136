// Empty members are left out of many answers.
// Owns:          what counts as empty.
// Must not know: which answers.

/** The members of `members` that are neither "", 0 nor an empty list. */
export function filled<T extends object>(members: T): Partial<T> {
  const kept: Partial<T> = {};
  for (const name in members) {
    const value = members[name];
    if (value !== "" && value !== 0 && !(Array.isArray(value) && value.length === 0)) kept[name] = value;
  }
  return kept;
}
