// How State lies in Redis.
// Owns:          the names of all keys, and the slot a key lies in. Part of the data format: a change needs a migration.
// Must not know: what is stored under them; which server holds a slot.
// K1. Every key of a partition has the partition as its hash tag, so that a batch lies in one slot of a cluster.
// K2. Records are `cordum:{p}:<kind>:<id>` with the id as it is; everything else has `@` where a kind stands, and no kind begins so.
// K3. In kinds and in parts of names `:` and `%` are written `%3A` and `%25`: different parts never make the same key.

import type { IndexKey, LogKey, Partition, RecordKey } from "../../ports/state.ts";

/** Key of what concerns the whole store, such as its number of partitions. */
export const STORE_KEY = "cordum:store";
export const SLOTS = 16_384;

const prefixes: string[] = [];
const alarms: string[] = [];

export function recordName(key: RecordKey): string {
  return `${prefixOf(key.partition)}${escapeKind(key.kind)}:${key.id}`;
}

/** The inverse of `recordName` without its prefix; `member` comes from our own store. */
export function parseAlarm(partition: Partition, member: string): RecordKey {
  const colon = member.indexOf(":");
  return { partition, kind: unescapePart(member.slice(0, colon)), id: member.slice(colon + 1) };
}

export function indexName(key: IndexKey): string {
  let node = names[key.partition];
  if (node === undefined) {
    node = { name: `${prefixOf(key.partition)}@index`, below: new Map() };
    names[key.partition] = node;
  }
  node = below(node, key.index);
  for (const part of key.of) node = below(node, part);
  return node.name;
}

/** Names of indexes are asked for some twenty times a job, and are mostly the same few: remembered part by part, which costs less than
 *  putting the text together, and gives the same string each time. Names that have no room are made anew. */
interface NameNode {
  readonly name: string;
  readonly below: Map<string, NameNode>;
}
const NAMES_BELOW_MAX = 256;
const names: NameNode[] = [];

function below(node: NameNode, part: string): NameNode {
  const known = node.below.get(part);
  if (known !== undefined) return known;
  const made: NameNode = { name: `${node.name}:${escapePart(part)}`, below: new Map() };
  if (node.below.size < NAMES_BELOW_MAX) node.below.set(part, made);
  return made;
}

export function logName(key: LogKey): string {
  return `${prefixOf(key.partition)}@log:${escapePart(key.log)}:${escapePart(key.of)}`;
}

/** The sorted set of alarms: member `<kind>:<id>`, score the time. Seven characters after the prefix: commit-script.ts counts on it. */
export function alarmsName(partition: Partition): string {
  const known = alarms[partition];
  if (known !== undefined) return known;
  const name = `${prefixOf(partition)}@alarms`;
  alarms[partition] = name;
  return name;
}

/** The sorted set of indexes whose entries expire: member the index's key, score the time at which its oldest entry does. */
export function namesName(partition: Partition): string {
  return `${prefixOf(partition)}@names`;
}

/** The mark that a batch without a put leaves, so that it recognises itself when it comes again. */
export function markName(partition: Partition, batchId: string): string {
  return `${prefixOf(partition)}@done:${batchId}`;
}

export function prefixOf(partition: Partition): string {
  const known = prefixes[partition];
  if (known !== undefined) return known;
  const prefix = `cordum:{${partition}}:`;
  prefixes[partition] = prefix;
  return prefix;
}

/** The slot of all keys of a partition. */
export function slotOfPartition(partition: Partition): number {
  return slotOf(prefixOf(partition));
}

/** Slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it. Source: Redis Cluster specification, "Key distribution model". */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = open === -1 ? -1 : key.indexOf("}", open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of encoder.encode(hashed)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc % SLOTS;
}

const encoder = new TextEncoder();

// Everything of ours that is no record begins with "@".
function escapeKind(kind: string): string {
  const escaped = escapePart(kind);
  return escaped.startsWith("@") ? `%40${escaped.slice(1)}` : escaped;
}

function unescapePart(part: string): string {
  if (!part.includes("%")) return part;
  return part.replace(/^%40/, "@").replaceAll("%3A", ":").replaceAll("%25", "%");
}

/** A part as it stands in a key (K3). */
export function escapePart(part: string): string {
  if (!part.includes(":") && !part.includes("%")) return part;
  return part.replaceAll("%", "%25").replaceAll(":", "%3A");
}
