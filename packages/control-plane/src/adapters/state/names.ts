// Names of records, indexes and logs inside an engine: one string per key.
// Owns:          joining parts so that different keys never get the same name, and taking record names apart again.
// Must not know: partitions (engines keep them apart themselves), engines.
// N1. ":" joins; inside a part "%" is written "%25" and ":" "%3A". So names of usual ids are readable and no two keys collide.
// Part of the data format of engines that keep data: a change needs a migration.

import type { IndexKey, LogKey, RecordKey } from "../../ports/state.ts";

function escaped(part: string): string {
  return part.includes(":") || part.includes("%") ? part.replaceAll("%", "%25").replaceAll(":", "%3A") : part;
}

function unescaped(part: string): string {
  return part.includes("%") ? part.replaceAll("%3A", ":").replaceAll("%25", "%") : part;
}

export function recordName(key: RecordKey): string {
  return `${escaped(key.kind)}:${escaped(key.id)}`;
}

/** The inverse of `recordName`; `name` comes from our own store. */
export function parseRecordName(name: string): { readonly kind: string; readonly id: string } {
  const colon = name.indexOf(":");
  return { kind: unescaped(name.slice(0, colon)), id: unescaped(name.slice(colon + 1)) };
}

export function indexName(key: IndexKey): string {
  let name = escaped(key.index);
  for (const part of key.of) name += `:${escaped(part)}`;
  return name;
}

export function logName(key: LogKey): string {
  return `${escaped(key.log)}:${escaped(key.of)}`;
}
