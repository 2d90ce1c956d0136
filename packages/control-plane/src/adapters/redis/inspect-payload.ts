// What lies at a key of Redis, whatever its type.
// Owns:          the script that looks, bounded, and reading its answer.
// Must not know: which keys may be looked at.
// I1. Items are fetched few at a time, so that Redis never holds much more than was asked for. I2. What a walk through a set or hash
//     tells twice is told once.

import type { Inspected } from "../../ports/payloads.ts";
import { script } from "./redis-link.ts";
import type { Reply } from "./redis-node.ts";

/** KEYS: the key. ARGV: how many items, how many bytes. Replies [type], [type, length], or [type, length, items]. */
export const INSPECT = script(`
local key, most, room = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local kind = redis.call('TYPE', key).ok
if kind == 'string' then
  local length = redis.call('STRLEN', key)
  if length > room then return {kind, length} end
  return {kind, length, {redis.call('GET', key)}}
end
local sizeOf = {list = 'LLEN', set = 'SCARD', hash = 'HLEN'}
if not sizeOf[kind] then return {kind} end
local width = kind == 'hash' and 2 or 1
local found = {}
local function take(some)
  for at = 1, #some, width do
    if #found >= most * width then return false end
    for part = at, at + width - 1 do room = room - #some[part] end
    if room < 0 then return false end
    for part = at, at + width - 1 do found[#found + 1] = some[part] end
  end
  return true
end
local length = redis.call(sizeOf[kind], key)
if kind == 'list' then
  local from = 0
  while from < length and take(redis.call('LRANGE', key, from, from + 15)) do from = from + 16 end
else
  local cursor = '0'
  repeat
    local step = redis.call(kind == 'set' and 'SSCAN' or 'HSCAN', key, cursor, 'COUNT', 16)
    cursor = step[1]
  until not take(step[2]) or cursor == '0'
end
return {kind, length, found}
`);

type Looked = Inspected | { readonly kind: "too_large"; readonly length: number };

/** Undefined: there is nothing. */
export function inspectedReply(reply: Reply): Looked | undefined {
  const [type, size, found]: readonly unknown[] = Array.isArray(reply) ? reply : [];
  const name = String(type);
  const length = Number(size ?? 0);
  const items = Array.isArray(found) ? found.filter((item) => Buffer.isBuffer(item)) : undefined;
  switch (name) {
    case "none":
      return undefined;
    case "string":
      return items?.[0] === undefined ? { kind: "too_large", length } : { kind: "bytes", bytes: items[0] };
    case "list":
      return { kind: "list", length, items: items ?? [] };
    case "set":
      return { kind: "set", length, items: [...new Map((items ?? []).map((item) => [nameOf(item), item])).values()] };
    case "hash":
      return { kind: "map", length, items: pairsOf(items ?? []) };
    default:
      return { kind: "other", name };
  }
}

function pairsOf(parts: readonly Buffer[]): readonly (readonly [Buffer, Buffer])[] {
  const pairs = new Map<string, readonly [Buffer, Buffer]>();
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [field, value] = parts.slice(at, at + 2);
    if (field !== undefined && value !== undefined) pairs.set(nameOf(field), [field, value]);
  }
  return [...pairs.values()];
}

function nameOf(bytes: Buffer): string {
  return bytes.toString("latin1");
}
