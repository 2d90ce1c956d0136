// Ids that we make.
// Owns:          their form: UUIDs, so that no id holds ":", "@" or "/".
// Must not know: what they name.

import { createHash } from "node:crypto";
import type { Clock } from "../ports/clock.ts";

/** A UUID of version 7: the millisecond, then chance. Ids that grow with time lie beside each other in a store's trees, which is worth a
 *  third of SQLite's time. Source: RFC 9562. */
export function newUuid(clock: Clock): string {
  const bytes = Buffer.from(clock.id(16), "base64url");
  bytes.writeUIntBE(clock.now(), 0, 6);
  return uuid(bytes, 7);
}

/** The id that a key stands for: the same parts, the same id; no two lists of parts share one. UUID of version 8 over SHA-256. */
export function derivedUuid(...parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return uuid(hash.digest(), 8);
}

function uuid(bytes: Buffer, version: number): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | (version << 4);
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex", 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
