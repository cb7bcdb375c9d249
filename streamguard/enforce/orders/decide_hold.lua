-- An operator's answer to a held kill.
--
-- KEYS[1]  <prefix>hold:<id>  hash    see ask_permit.lua
-- KEYS[2]  <prefix>held       zset    loses the id
-- KEYS[3]  <prefix>audit      stream  gets an entry with the field `event`
--
-- ARGV[1] id  ARGV[2] approved or rejected  ARGV[3] who  ARGV[4] why  ARGV[5] seconds that the audit is kept
--
-- Returns a list of four: what it came to (decided: by this call; unknown; lapsed: too late, with what became of it;
-- approved or rejected: by an earlier one), who, why, Unix milliseconds. The same answer again changes nothing.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local now = string.format('%.0f', now_ms)
local hold = redis.call('HMGET', KEYS[1], 'state', 'until_ms', 'then', 'who', 'why', 'at_ms')
local state = hold[1]
if not state then
  return {'unknown', '', '', ''}
end
if state == 'lapsed' or (state == 'held' and now_ms >= (tonumber(hold[2]) or 0)) then
  return {'lapsed', '', hold[3] or '', hold[2] or ''}
end
if state ~= 'held' then
  return {state, hold[4] or '', hold[5] or '', hold[6] or ''}
end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'who', ARGV[3], 'why', ARGV[4], 'at_ms', now)
redis.call('ZREM', KEYS[2], ARGV[1])
local oldest_ms = math.max(0, now_ms - tonumber(ARGV[5]) * 1000)
local event = cjson.encode({action = ARGV[2], signal = ARGV[1], reference = '', who = ARGV[3], why = ARGV[4], at_unix_ms = now_ms})
redis.call('XADD', KEYS[3], 'MINID', '~', string.format('%.0f', oldest_ms), '*', 'event', event)
return {'decided', ARGV[3], ARGV[4], now}
