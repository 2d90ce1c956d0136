// Everything that State keeps in a Redis, in the form in which memory shows it.
// Owns:          walking over all keys; reading names back into keys.
// Must not know: what records mean. The data format is that of adapters/redis/keys.ts and stored.ts.

import type { Redis } from "ioredis";
import type { Dump } from "../adapters/memory/memory-state.ts";
import { parseStored } from "../adapters/redis/stored.ts";
import type { Json } from "../ports/json.ts";
import type { IndexKey, LogKey, Partition, Position, RecordKey } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

const PER_SCAN = 1_000;
const KEY = /^cordum:\{(\d+)\}:(.+)$/s;

/** The store should be at rest: what changes meanwhile is seen partly before, partly afterwards. */
export async function redisDump(redis: Redis): Promise<Dump> {
  const dump: Mutable<Dump> = { records: [], indexes: [], logs: [] };
  const alarms = new Map<string, EpochMs>();
  const records: RecordKey[] = [];
  for (const { partition, rest } of await namesIn(redis)) {
    const name = `cordum:{${partition}}:${rest}`;
    if (rest === "@alarms")
      for (const { member, score } of await scoresOf(redis, name)) alarms.set(`cordum:{${partition}}:${member}`, score);
    else if (rest.startsWith("@index:"))
      dump.indexes.push({ key: indexKey(partition, rest), entries: await scoresOf(redis, name) });
    else if (rest.startsWith("@log:"))
      dump.logs.push({ key: logKey(partition, rest), entries: await logOf(redis, name) });
    else if (!rest.startsWith("@")) records.push(recordKey(partition, rest));
  }
  for (let from = 0; from < records.length; from += PER_SCAN)
    dump.records.push(...(await readRecords(redis, records.slice(from, from + PER_SCAN), alarms)));
  return dump;
}

async function namesIn(redis: Redis): Promise<readonly { readonly partition: Partition; readonly rest: string }[]> {
  const found = new Set<string>();
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "MATCH", "cordum:{*", "COUNT", String(PER_SCAN));
    for (const key of keys) found.add(key);
    cursor = next;
  } while (cursor !== "0");
  return [...found].sort().flatMap((key) => {
    const [, partition, rest] = KEY.exec(key) ?? [];
    return rest === undefined ? [] : [{ partition: Number(partition), rest }];
  });
}

async function readRecords(
  redis: Redis,
  keys: readonly RecordKey[],
  alarms: ReadonlyMap<string, EpochMs>,
): Promise<Dump["records"]> {
  const names = keys.map(({ partition, kind, id }) => `cordum:{${partition}}:${escaped(kind)}:${id}`);
  const ends = redis.pipeline();
  for (const name of names) ends.pexpiretime(name);
  const [texts, expiries] = [await redis.mget(...names), await ends.exec()];
  return keys.flatMap((key, at) => {
    const text = texts[at];
    if (typeof text !== "string") return [];
    const expiresAt = Number(expiries?.[at]?.[1] ?? -1);
    return {
      stored: parseStored(key, text),
      alarmAt: alarms.get(names[at] ?? "") ?? "never",
      expiresAt: expiresAt < 0 ? undefined : expiresAt,
    };
  });
}

async function scoresOf(redis: Redis, name: string): Promise<Position[]> {
  const flat = await redis.zrange(name, "0", "-1", "WITHSCORES");
  return Array.from({ length: flat.length / 2 }, (_, at) => ({
    score: Number(flat[2 * at + 1]),
    member: flat[2 * at] ?? "",
  }));
}

async function logOf(redis: Redis, name: string): Promise<Json[]> {
  return (await redis.xrange(name, "-", "+")).map(([, [, text = "null"]]) => JSON.parse(text) as Json);
}

function recordKey(partition: Partition, rest: string): RecordKey {
  const colon = rest.indexOf(":");
  return { partition, kind: unescaped(rest.slice(0, colon)), id: rest.slice(colon + 1) };
}

function indexKey(partition: Partition, rest: string): IndexKey {
  const [, index = "", ...of] = rest.split(":").map(unescaped);
  return { partition, index, of };
}

function logKey(partition: Partition, rest: string): LogKey {
  const [, log = "", of = ""] = rest.split(":").map(unescaped);
  return { partition, log, of };
}

function escaped(part: string): string {
  return part.replaceAll("%", "%25").replaceAll(":", "%3A");
}

function unescaped(part: string): string {
  return part.replaceAll("%3A", ":").replaceAll("%25", "%");
}
