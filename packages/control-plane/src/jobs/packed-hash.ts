// Hashes as they lie in records: a third shorter than hex.
// Owns:          the packed form. Part of the data format. Must not know: what is hashed.

const HASH = /^[0-9a-f]{64}$/;

/** What is no SHA-256 in hex is kept as it is, marked. A job's is written three times within milliseconds, a rule's with every job. */
export function packHash(hash: string): string {
  const known = packed.get(hash);
  if (known !== undefined) return known;
  const made = HASH.test(hash) ? Buffer.from(hash, "hex").toString("base64url") : `=${hash}`;
  if (packed.size >= PACKED_MAX) packed.clear();
  packed.set(hash, made);
  return made;
}

const PACKED_MAX = 2_048;
const packed = new Map<string, string>();

export function unpackHash(packed: string): string {
  return packed.startsWith("=") ? packed.slice(1) : Buffer.from(packed, "base64url").toString("hex");
}
