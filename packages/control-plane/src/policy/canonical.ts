// The canonical form that policies and rules are hashed in.
// Owns:          the bytes that are hashed. A change of them is a change of every snapshot and strands every pending approval.
// Must not know: what a policy means.
// Keys sorted by UTF-16 code units, no blanks, absent members left out; so comments, order of keys and layout do not count.

import { createHash } from "node:crypto";

/** Lower-case hex SHA-256 of the canonical JSON. `value` is a tree of plain values without cycles. */
export function canonicalHash(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}
