// The scripts that look, take and sweep inside Redis.
// Owns:          the Lua sources. Time is Redis' own, so that all processes agree on what has expired.
// Must not know: how arguments are made (redis-state.ts).
// Q1. Every loop is bounded by an argument. Q2. "list", "count" and "read" change nothing.

import { script } from "./redis-link.ts";

const NOW = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/** KEYS: an index per span. ARGV: keepMs ("" for ever), min, max per span. Answer: a size per span. */
export const COUNT = script(`${NOW}
local sizes = {}
for i, key in ipairs(KEYS) do
  local keep, min, max = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if keep ~= '' and (min == '-inf' or tonumber(min) < now - keep) then min = now - keep end
  if min == '-inf' and max == '+inf' then sizes[i] = redis.call('ZCARD', key)
  else sizes[i] = redis.call('ZCOUNT', key, min, max) end
end
return sizes
`);

/**
 * Many queries, each with KEYS: the leading index, then those of alsoIn; and with ARGV: how many keys, order, min, max, limit, examineMax,
 * "1" and score and member of \`after\` or "0" "" "", then keepMs ("" for ever) of every index.
 * Answer of each: {examined, is there more, last examined, its score, member, score, …}.
 * Everything is done with ranks: the place of a member that is gone is found by bisection among the entries of its score.
 */
export const LIST = script(`${NOW}
local call, byte = redis.call, string.byte

local function isBefore(a, b)
  -- Lua's own comparison follows the locale of the server.
  local n = math.min(#a, #b)
  for i = 1, n do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Rank of the first entry behind (score, member), or of the entry itself and true.
local function placeOf(key, score, member)
  local current = call('ZSCORE', key, member)
  if current and tonumber(current) == tonumber(score) then return call('ZRANK', key, member), true end
  local at = call('ZCOUNT', key, '-inf', '(' .. score)
  local stop = call('ZCOUNT', key, '-inf', score)
  while at < stop do
    local middle = math.floor((at + stop) / 2)
    if isBefore(call('ZRANGE', key, middle, middle)[1], member) then at = middle + 1 else stop = middle end
  end
  return at, false
end

-- The query whose keys and arguments lie behind these positions.
local function list(k, a)
  local key, others, up = KEYS[k + 1], ARGV[a + 1] - 1, ARGV[a + 2] == 'up'
  local min, max, limit, budget = ARGV[a + 3], ARGV[a + 4], tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  local keep = ARGV[a + 10]
  if keep ~= '' and (min == '-inf' or tonumber(min) < now - keep) then min = now - keep end
  local lo = min == '-inf' and 0 or call('ZCOUNT', key, '-inf', '(' .. string.format('%.17g', min))
  local hi = (max == '+inf' and call('ZCARD', key) or call('ZCOUNT', key, '-inf', max)) - 1
  if ARGV[a + 7] == '1' and lo <= hi then
    local at, found = placeOf(key, ARGV[a + 8], ARGV[a + 9])
    if up then lo = math.max(lo, found and at + 1 or at) else hi = math.min(hi, at - 1) end
  end
  local answer = {0, 0, '', ''}
  local n, kept, examined = 4, 0, 0
  while lo <= hi and kept < limit and examined < budget do
    local step = math.min(hi - lo + 1, budget - examined, others == 0 and limit or math.max(64, 2 * (limit - kept)), 1000)
    local from, to
    if up then from, to = lo, lo + step - 1 else from, to = hi - step + 1, hi end
    local chunk = call('ZRANGE', key, from, to, 'WITHSCORES')
    local members, tests = {}, {}
    for i = 1, step do members[i] = chunk[2 * i - 1] end
    for o = 1, others do tests[o] = call('ZMSCORE', KEYS[k + o + 1], unpack(members)) end
    for s = 1, step do
      local i = up and s or step - s + 1
      local isKept = true
      for o = 1, others do
        local score, keepOther = tests[o][i], ARGV[a + 10 + o]
        if not score or (keepOther ~= '' and tonumber(score) < now - keepOther) then
          isKept = false
          break
        end
      end
      examined = examined + 1
      if isKept then
        answer[n + 1] = members[i]
        answer[n + 2] = chunk[2 * i]
        n = n + 2
        kept = kept + 1
      end
      if up then lo = lo + 1 else hi = hi - 1 end
      if kept == limit or s == step then
        answer[3] = members[i]
        answer[4] = chunk[2 * i]
        break
      end
    end
  end
  answer[1] = examined
  if lo <= hi and examined > 0 then answer[2] = 1 end
  return answer
end

local pages, k, a = {}, 0, 0
while k < #KEYS do
  pages[#pages + 1] = list(k, a)
  local keys = tonumber(ARGV[a + 1])
  k, a = k + keys, a + 9 + keys
end
return pages
`);

/** KEYS: the log. ARGV: position to go on behind, or "", limit, keepMs. Answer: {is there more, position, entry, …}. */
export const READ = script(`${NOW}
local oldest = string.format('%.0f', now - ARGV[3])
local from = oldest
if ARGV[1] ~= '' and tonumber(string.match(ARGV[1], '^%d+')) >= now - ARGV[3] then from = '(' .. ARGV[1] end
local limit = tonumber(ARGV[2])
local found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', limit + 1)
local answer = {#found > limit and 1 or 0}
for i = 1, math.min(#found, limit) do
  answer[2 * i] = found[i][1]
  answer[2 * i + 1] = found[i][2][2]
end
return answer
`);

/**
 * KEYS: the alarms. ARGV: limit, leaseMs, the prefix of records.
 * Answer: {member, time, …}. An alarm whose record is gone (keepMs) wakes nobody and is removed.
 */
export const TAKE = script(`${NOW}
local due = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1], 'WITHSCORES')
local answer, n, moved, gone = {}, 0, {}, {}
for i = 1, #due, 2 do
  if redis.call('EXISTS', ARGV[3] .. due[i]) == 1 then
    answer[n + 1] = due[i]
    answer[n + 2] = due[i + 1]
    moved[n + 1] = now + ARGV[2]
    moved[n + 2] = due[i]
    n = n + 2
  else
    gone[#gone + 1] = due[i]
  end
end
if n > 0 then redis.call('ZADD', KEYS[1], 'XX', unpack(moved)) end
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
return {#gone, answer}
`);

/**
 * KEYS: the names of indexes that expire. ARGV: budget, then declared index and keepMs, alternating.
 * Answer: {entries removed, 1 when nothing expired is left}. A name costs as much of the budget as an entry.
 */
export const SWEEP = script(`${NOW}
local keeps = {}
for i = 2, #ARGV, 2 do keeps[ARGV[i]] = tonumber(ARGV[i + 1]) end
local left, removed = tonumber(ARGV[1]), 0
while left > 0 do
  local head = redis.call('ZRANGE', KEYS[1], '-inf', '(' .. string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, 1)
  local key = head[1]
  if not key then return {removed, 1} end
  local keep = keeps[string.match(key, '@index:([^:]+)')]
  if not keep then
    redis.call('ZREM', KEYS[1], key)
    left = left - 1
  else
    local old = redis.call('ZRANGE', key, '-inf', '(' .. string.format('%.0f', now - keep), 'BYSCORE', 'LIMIT', 0, left)
    if #old > 0 then redis.call('ZREM', key, unpack(old)) end
    removed = removed + #old
    left = left - math.max(#old, 1)
    local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if oldest[2] then redis.call('ZADD', KEYS[1], oldest[2] + keep, key) else redis.call('ZREM', KEYS[1], key) end
  end
end
local more = redis.call('ZRANGE', KEYS[1], '-inf', '(' .. string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, 1)
return {removed, #more == 0 and 1 or 0}
`);
