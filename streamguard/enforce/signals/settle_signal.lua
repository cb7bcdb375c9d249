-- Ends one kill-signal: writes its acknowledgement, once, and takes the entry off the consumer group's list.
--
-- KEYS[1]  <prefix>signals    stream   the entry is acknowledged for the group
-- KEYS[2]  <prefix>acks       stream   gets an entry with the fields `event` and `sig`
-- KEYS[3]  <prefix>done:<id>  string   set when the acknowledgement is added; expires after ARGV[5] seconds
--
-- ARGV[1]  the consumer group
-- ARGV[2]  the id of the entry in KEYS[1]
-- ARGV[3]  event: the acknowledgement, JSON text
-- ARGV[4]  sig: its signature, or empty
-- ARGV[5]  seconds that acknowledgements are kept, and that a signal is known to be done with
--
-- Returns 1 when the acknowledgement was added, 0 when there was one before, or Redis's own error.
-- The group need not be there any more: a Redis that lost its data takes the acknowledgement all the same.

local now_s = tonumber(redis.call('TIME')[1])
local oldest_ms = (now_s - tonumber(ARGV[5])) * 1000

local mark = redis.pcall('SET', KEYS[3], now_s, 'NX', 'EX', ARGV[5])
if type(mark) == 'table' and mark.err then
  return mark
end
if mark ~= false then
  local added = redis.pcall('XADD', KEYS[2], 'MINID', '~', string.format('%.0f', oldest_ms), '*',
    'event', ARGV[3], 'sig', ARGV[4])
  if type(added) == 'table' and added.err then
    redis.pcall('SET', KEYS[3], now_s, 'PX', 1)
    return added
  end
end
local taken = redis.pcall('XACK', KEYS[1], ARGV[1], ARGV[2])
if type(taken) == 'table' and taken.err then
  return taken
end
if mark == false then
  return 0
end
return 1
