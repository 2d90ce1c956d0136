// The script that carries out batches inside Redis.
// Owns:          the Lua source, and the op codes that it shares with commit-encoder.ts.
// Must not know: how batches travel (commit-lane.ts), what values mean: they are opaque strings behind "<version> ".
// L1. Each batch is atomic by itself: all its checks, then all its changes. A batch that fails a check changes nothing.
// L2. A failed check does not mean a conflict when the batch was here before: then one of the records it puts carries its id, or – when
//     it puts none – its mark exists. Then it is answered as committed, with sizes of now.
// L3. Index changes are collected by key and written by one ZADD and then one ZREM each; an index that is counted or looked into is
//     written out first. A member that enters is no longer among those that leave, so the last change of each member wins.
// L4. No inner command gets more than 7,000 arguments: Lua's stack holds 8,000.
// L5. A call that comes too late – it lay in a buffer while Redis stood still – does nothing, as S10 demands.
//
// Why a program of bytes and a table of constants: every argument costs Redis about 0.15 µs to parse, to allocate and to hand to Lua, and
// the same index names and members appear many times in a call. A string.byte that reads a whole operation costs a third of that.
//
// ARGV[1] is the program, ARGV[2] the time after which it is too late ("": never), ARGV[3…] the constants. References are two bytes of base 128 (all bytes < 128, so that the program is valid
// UTF-8), keys into KEYS, everything else into ARGV; 0 means none.
//   call     = { K key keep names } batch…           K: an index whose entries expire; names: where its name is kept for sweeping
//   batch    = mark length(3) check… change… T…       length counts from the first byte of the batch
//   checks     a key version | n key 0 | i key member | o key member | f key than
//   changes    P key value keep alarms wake | D key alarms | E key member score | L key member | A key entry max keep |
//              X key text keep                        X: a payload, outside the partition, so on a single Redis alone
//   tells      T key
// Answer: one element per batch, then Redis' time in ms; or this time alone, see L5. Of a batch: 0 (committed), {0, size…} (committed),
// {position of the failed check from 1, what is there | false}.

/** Bytes per operation, its code included. */
export const OP_WIDTH = {
  K: 7,
  a: 5,
  n: 5,
  i: 5,
  o: 5,
  f: 5,
  P: 11,
  D: 5,
  E: 7,
  L: 5,
  A: 9,
  T: 3,
  X: 7,
} as const;
export const BATCH_HEADER_WIDTH = 5;
/** A mark outlives every resend, whose deadline is seconds. Longer would cost: 5,000 such batches a second make 300,000 marks a minute. */
export const MARK_KEEP_MS = 60_000;

export const COMMIT_SCRIPT = `
local K, A, P = KEYS, ARGV, ARGV[1]
local byte, sub, find, call, unpack, min = string.byte, string.sub, string.find, redis.call, unpack, math.min
local width = {[75]=7,[97]=5,[110]=5,[105]=5,[111]=5,[102]=5,[80]=11,[68]=5,[69]=7,[76]=5,[65]=9,[84]=3,[88]=7}
local adds, addn, rems, touched, touchedn = {}, {}, {}, {}, 0
local keep, names, low, due = {}, {}, {}, {}
local time, lastScore, lastNumber

local function now()
  if not time then
    local t = call('TIME')
    time = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return time
end

local function flush(k)
  local list = adds[k]
  if list then
    adds[k] = nil
    local n = addn[k]
    for from = 1, n, 7000 do call('ZADD', K[k], unpack(list, from, min(from + 6999, n))) end
    local keepMs = keep[k]
    if keepMs then
      local d = due[names[k]]
      d[#d + 1] = low[k] + keepMs
      d[#d + 1] = K[k]
      low[k] = nil
    end
  end
  local set = rems[k]
  if set then
    rems[k] = nil
    local n = 0
    list = {}
    for member in pairs(set) do
      n = n + 1
      list[n] = member
    end
    for from = 1, n, 7000 do call('ZREM', K[k], unpack(list, from, min(from + 6999, n))) end
  end
end

local function add(k, score, member)
  local list = adds[k]
  if list then
    local n = addn[k]
    list[n + 1] = score
    list[n + 2] = member
    addn[k] = n + 2
  else
    adds[k] = {score, member}
    addn[k] = 2
    touchedn = touchedn + 1
    touched[touchedn] = k
  end
  local leaving = rems[k]
  if leaving then leaving[member] = nil end
  if keep[k] then
    if score ~= lastScore then lastScore, lastNumber = score, tonumber(score) end
    local l = low[k]
    if not l or lastNumber < l then low[k] = lastNumber end
  end
end

local function remove(k, member)
  local set = rems[k]
  if set then set[member] = true
  else
    rems[k] = {[member] = true}
    touchedn = touchedn + 1
    touched[touchedn] = k
  end
end

local function size(k)
  flush(k)
  local keepMs = keep[k]
  if keepMs then return call('ZCOUNT', K[k], now() - keepMs, '+inf') end
  return call('ZCARD', K[k])
end

local function isIn(k, member)
  flush(k)
  local score = call('ZSCORE', K[k], member)
  return score and not (keep[k] and tonumber(score) < now() - keep[k])
end

local function startsWith(k, text)
  return call('GETRANGE', K[k], '0', #text - 1) == text
end

local function wasApplied(from, stop, mark)
  if mark > 0 then return call('EXISTS', K[mark]) == 1 end
  while from < stop do
    local op, x, y, u, v = byte(P, from, from + 4)
    if op == 80 then
      local stored = A[u * 128 + v]
      if startsWith(x * 128 + y, sub(stored, 1, find(stored, ' ', 1, true))) then return true end
    end
    from = from + width[op]
  end
  return false
end

local latest = tonumber(A[2])
if latest and now() > latest then return now() end

local i, n = 1, #P
while byte(P, i) == 75 do
  local _, x, y, u, v, r, s = byte(P, i, i + 6)
  local k, where = x * 128 + y, r * 128 + s
  keep[k] = tonumber(A[u * 128 + v])
  names[k] = where
  if not due[where] then due[where] = {} end
  i = i + 7
end

local out, outn = {}, 0
while i <= n do
  local h1, h2, h3, h4, h5 = byte(P, i, i + 4)
  local mark = h1 * 128 + h2
  local stop = i + h3 * 16384 + h4 * 128 + h5
  i = i + 5
  local check, failed, found = 0, false, false
  local answer = 0
  while i < stop do
    local op, x, y, u, v = byte(P, i, i + 4)
    if op < 97 then break end
    local k, c = x * 128 + y, u * 128 + v
    check = check + 1
    if op == 97 then
      failed = not startsWith(k, A[c])
    elseif op == 110 then
      failed = call('EXISTS', K[k]) == 1
    elseif op == 105 then
      failed = not isIn(k, A[c])
    elseif op == 111 then
      failed = isIn(k, A[c])
    else
      failed = size(k) >= tonumber(A[c])
    end
    if failed then
      if op == 97 or op == 110 then found = call('GET', K[k]) end
      break
    end
    i = i + 5
  end
  if failed and not wasApplied(i, stop, mark) then
    answer = {check, found}
    i = stop
  end
  while i < stop do
    local op, x, y, u, v, r, s, p, q, e, f = byte(P, i, i + 10)
    if op == 84 then
      if answer == 0 then answer = {0} end
      answer[#answer + 1] = size(x * 128 + y)
    elseif failed then
      -- applied before: only the sizes are asked again
    elseif op == 69 then
      add(x * 128 + y, A[r * 128 + s], A[u * 128 + v])
    elseif op == 76 then
      remove(x * 128 + y, A[u * 128 + v])
    elseif op == 80 then
      local key, alarms, keepMs = K[x * 128 + y], p * 128 + q, r * 128 + s
      if keepMs > 0 then call('SET', key, A[u * 128 + v], 'PX', A[keepMs]) else call('SET', key, A[u * 128 + v]) end
      local member = sub(key, #K[alarms] - 6)
      if e > 0 or f > 0 then add(alarms, A[e * 128 + f], member) else remove(alarms, member) end
    elseif op == 68 then
      local key, alarms = K[x * 128 + y], u * 128 + v
      call('DEL', key)
      remove(alarms, sub(key, #K[alarms] - 6))
    elseif op == 65 then
      local key, keepMs = K[x * 128 + y], A[p * 128 + q]
      call('XADD', key, 'MAXLEN', A[r * 128 + s], '*', 'e', A[u * 128 + v])
      call('XTRIM', key, 'MINID', '~', now() - keepMs)
      call('PEXPIRE', key, keepMs)
    elseif op == 88 then
      call('SET', K[x * 128 + y], A[u * 128 + v], 'PX', A[r * 128 + s])
    end
    i = i + width[op]
  end
  if not failed and mark > 0 then call('SET', K[mark], '', 'PX', '${MARK_KEEP_MS}') end
  outn = outn + 1
  out[outn] = answer
end
for t = 1, touchedn do flush(touched[t]) end
for where, list in pairs(due) do
  local n = #list
  for from = 1, n, 7000 do call('ZADD', K[where], 'LT', unpack(list, from, min(from + 6999, n))) end
end
out[outn + 1] = now()
return out
`;
