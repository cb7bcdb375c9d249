-- Takes one kill-signal back: tells the platform, records the mistake, closes a held kill. Once; strikes are lifted after it.
--
-- KEYS[1]  <prefix>undone:<id>  string  who, when and why, JSON; expires after ARGV[6] seconds
-- KEYS[2]  <prefix>signals      stream  gets the event, with the fields `event` and `sig`
-- KEYS[3]  <prefix>mistakes     stream  gets the mistake, with the field `event`
-- KEYS[4]  <prefix>hold:<id>    hash    see ask_permit.lua
-- KEYS[5]  <prefix>held         zset    loses the id
-- KEYS[6]  <prefix>audit        stream  gets an entry with the field `event`
--
-- ARGV[1] id  ARGV[2] event, JSON text  ARGV[3] its signature, or empty  ARGV[4] the mistake, JSON text, or empty (the match was right)
-- ARGV[5] reference  ARGV[6] seconds that signals are kept  ARGV[7] seconds that mistakes are kept  ARGV[8] who  ARGV[9] why
--
-- Returns a list of two: 1, and whether a held kill was closed (1 or 0); or 0, and what KEYS[1] has, when it was undone before.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local before = redis.call('GET', KEYS[1])
if before then
  return {0, before}
end

local function oldest(keep_s)
  return string.format('%.0f', math.max(0, now_ms - tonumber(keep_s) * 1000))
end

local closed = 0
if redis.call('HGET', KEYS[4], 'state') == 'held' then
  redis.call('HSET', KEYS[4], 'state', 'rejected', 'who', ARGV[8], 'why', ARGV[9], 'at_ms', string.format('%.0f', now_ms))
  closed = redis.call('ZREM', KEYS[5], ARGV[1])
end
local entry = {action = 'undo', signal = ARGV[1], reference = ARGV[5], who = ARGV[8], why = ARGV[9], at_unix_ms = now_ms}
entry.match_was_right = ARGV[4] == ''
redis.call('XADD', KEYS[2], 'MINID', '~', oldest(ARGV[6]), '*', 'event', ARGV[2], 'sig', ARGV[3])
if ARGV[4] ~= '' then
  redis.call('XADD', KEYS[3], 'MINID', '~', oldest(ARGV[7]), '*', 'event', ARGV[4])
end
redis.call('XADD', KEYS[6], 'MINID', '~', oldest(ARGV[7]), '*', 'event', cjson.encode(entry))
redis.call('SET', KEYS[1], cjson.encode(entry), 'EX', ARGV[6])
return {1, closed}
