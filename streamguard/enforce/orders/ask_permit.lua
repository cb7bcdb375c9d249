-- May this kill be executed now? It was not undone, is not held for an operator's yes, and is not one of too many.
-- One call for each kill that passes at once; asking again, from another enforcer too, counts nothing twice.
--
-- KEYS[1]   <prefix>permitted:<id>       string  set when it may be executed; expires after ARGV[9] milliseconds
-- KEYS[2]   <prefix>undone:<id>          string  set by undo_signal.lua
-- KEYS[3]   <prefix>hold:<id>            hash    of a held kill: state (held, approved, rejected, lapsed), until_ms, then, what, who, why
-- KEYS[4]   <prefix>held                 zset    ids of kills that wait, by the Unix milliseconds until when
-- KEYS[5]   <prefix>breaker:kills        zset    ids of kills that passed, by when
-- KEYS[6]   <prefix>breaker:open         string  JSON; while it is there all kills are refused
-- KEYS[7]   <prefix>breaker:streams:<reference>  zset  streams in which the reference killed, by when
-- KEYS[8]   <prefix>quarantine           hash    references whose kills are refused; JSON
-- KEYS[9]   <prefix>breaker:trusted      hash    until when nothing is counted, Unix milliseconds, by `all` or `reference:<reference>`
-- KEYS[10]  <prefix>audit                stream  gets an entry with the field `event` for what changes but by a kill that passes
--
-- ARGV[1] id  ARGV[2] reference  ARGV[3] stream  ARGV[4] kills at most (0: any number)  ARGV[5] within so many ms
-- ARGV[6] streams of a reference at most (more where the signal's incident is believed)  ARGV[7] within so many ms
-- ARGV[8] milliseconds that it is held ('0': not at all)  ARGV[9] milliseconds that its permission is remembered
-- ARGV[10] what becomes of it after that without an answer: kill or let_go  ARGV[11] what is held, JSON text
-- ARGV[12] who asks  ARGV[13] seconds that the audit is kept
--
-- Returns a list of two: the answer and a text. permitted; held; rejected, not_approved or undone, with why;
-- all or reference (the breaker); tripped_all or tripped_reference: the same, and it is this kill that did it.
-- What is refused is not counted, so that no set holds more than its limit. ACL: docs/signals.md, "Permissions".

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local id, reference = ARGV[1], ARGV[2]

local function ms(number)
  return string.format('%.0f', number)
end

local function audit(action, why)
  local oldest_ms = math.max(0, now_ms - tonumber(ARGV[13]) * 1000)
  local event = cjson.encode({action = action, signal = id, reference = reference, who = ARGV[12], why = why, at_unix_ms = now_ms})
  redis.call('XADD', KEYS[10], 'MINID', '~', ms(oldest_ms), '*', 'event', event)
end

local function permit()
  redis.call('SET', KEYS[1], 1, 'PX', ARGV[9])
  return {'permitted', ''}
end

local function against()
  if redis.call('EXISTS', KEYS[6]) == 1 then
    return 'all'
  end
  if redis.call('HEXISTS', KEYS[8], reference) == 1 then
    return 'reference'
  end
  return nil
end

local function trusted(what)
  return (tonumber(redis.call('HGET', KEYS[9], what) or '0') or 0) > now_ms
end

-- Slides the window; whether one more is too many.
local function is_full(key, member, most, within_ms)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', ms(now_ms - within_ms))
  return most > 0 and not redis.call('ZSCORE', key, member) and redis.call('ZCARD', key) >= most
end

local function add(key, member, most, within_ms)
  if most > 0 then
    redis.call('ZADD', key, ms(now_ms), member)
    redis.call('PEXPIRE', key, ms(within_ms))
  end
end

-- Counts it; nil where it passes.
local function count()
  local kills, kills_ms, streams, streams_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
  local found = against()
  if found then
    return found
  end
  if is_full(KEYS[7], ARGV[3], streams, streams_ms) then
    if not trusted('reference:' .. reference) then
      redis.call('HSET', KEYS[8], reference, cjson.encode({at_unix_ms = now_ms, streams = streams, signal = id}))
      audit('quarantine', 'it killed in more than ' .. ARGV[6] .. ' streams')
      return 'tripped_reference'
    end
    streams = 0
  end
  if is_full(KEYS[5], id, kills, kills_ms) then
    if not trusted('all') then
      redis.call('SET', KEYS[6], cjson.encode({at_unix_ms = now_ms, kills = kills, signal = id}))
      audit('open', 'more than ' .. ARGV[4] .. ' kills')
      return 'tripped_all'
    end
    kills = 0
  end
  add(KEYS[7], ARGV[3], streams, streams_ms)
  add(KEYS[5], id, kills, kills_ms)
  return nil
end

local undone = redis.call('GET', KEYS[2])
if undone then
  return {'undone', undone}
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return {'permitted', ''}
end

local hold = redis.call('HMGET', KEYS[3], 'state', 'until_ms', 'then', 'who', 'why')
local state = hold[1]
if state == 'held' then
  -- What is no time is over: an error here would be one for every kill after it.
  if now_ms < (tonumber(hold[2]) or 0) then
    return {'held', ''}
  end
  state = 'lapsed'
  redis.call('HSET', KEYS[3], 'state', state)
  redis.call('ZREM', KEYS[4], id)
  audit('lapsed', hold[3])
end
if state == 'approved' then
  return permit()
end
if state == 'rejected' then
  return {'rejected', (hold[4] or '') .. ': ' .. (hold[5] or '')}
end
if state == 'lapsed' then
  if hold[3] ~= 'kill' then
    return {'not_approved', ''}
  end
  -- It was counted when it was held.
  local found = against()
  if found then
    return {found, ''}
  end
  return permit()
end

local refused = count()
if refused then
  return {refused, ''}
end
if ARGV[8] == '0' then
  return permit()
end
local until_ms = now_ms + tonumber(ARGV[8])
redis.call('HSET', KEYS[3], 'state', 'held', 'until_ms', ms(until_ms), 'then', ARGV[10], 'what', ARGV[11])
-- An operator who comes too late is told so for a day.
redis.call('PEXPIRE', KEYS[3], ms(tonumber(ARGV[8]) + 86400000))
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ms(now_ms - 86400000))
redis.call('ZADD', KEYS[4], ms(until_ms), id)
audit('held', '')
return {'held', ''}
