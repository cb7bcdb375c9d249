-- Says of one kill-signal that it was right. Once; what was undone stays undone.
--
-- KEYS[1]  <prefix>confirmed:<id>  string  who, when and why, JSON; expires after ARGV[5] seconds
-- KEYS[2]  <prefix>undone:<id>     string  set by undo_signal.lua
-- KEYS[3]  <prefix>signals         stream  gets the event, with the fields `event` and `sig`
-- KEYS[4]  <prefix>audit           stream  gets an entry with the field `event`
--
-- ARGV[1] id  ARGV[2] event, JSON text  ARGV[3] its signature, or empty  ARGV[4] reference
-- ARGV[5] seconds that signals are kept  ARGV[6] seconds that the audit is kept  ARGV[7] who  ARGV[8] why
--
-- Returns a list of two: confirmed, and nothing; before, and what KEYS[1] has; or undone, and what KEYS[2] has.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local undone = redis.call('GET', KEYS[2])
if undone then
  return {'undone', undone}
end
local before = redis.call('GET', KEYS[1])
if before then
  return {'before', before}
end

local function oldest(keep_s)
  return string.format('%.0f', math.max(0, now_ms - tonumber(keep_s) * 1000))
end

local entry = {action = 'confirm', signal = ARGV[1], reference = ARGV[4], who = ARGV[7], why = ARGV[8], at_unix_ms = now_ms}
redis.call('XADD', KEYS[3], 'MINID', '~', oldest(ARGV[5]), '*', 'event', ARGV[2], 'sig', ARGV[3])
redis.call('XADD', KEYS[4], 'MINID', '~', oldest(ARGV[6]), '*', 'event', cjson.encode(entry))
redis.call('SET', KEYS[1], cjson.encode(entry), 'EX', ARGV[5])
return {'confirmed', ''}
