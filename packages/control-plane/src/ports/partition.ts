// Which partition a record lies in. Part of the data format: a change needs a migration.
// The root is the id up to its first ":" – a rule for routing, not for parsing – so that a bare job id finds the record, and a run
// and its jobs lie together.

import type { Partition } from "./state.ts";

/** The most partitions a store may have, whichever it is. */
export const PARTITIONS_MAX = 1_024;

/** FNV-1a over the UTF-8 bytes of the root, with the finaliser of MurmurHash3 so that the low bits spread. */
export function partitionOf(id: string, partitions: number): Partition {
  if (partitions === 1) return 0;
  const colon = id.indexOf(":");
  const end = colon === -1 ? id.length : colon;
  let hash = 0x811c9dc5;
  for (let at = 0; at < end; at++) {
    const code = id.charCodeAt(at);
    if (code >= 0x80) {
      hash = hashOfBytes(id.slice(0, end));
      break;
    }
    hash = Math.imul(hash ^ code, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

/** The same for any text. Nearly all ids are ASCII, where a byte is a character and nothing has to be encoded. */
function hashOfBytes(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
