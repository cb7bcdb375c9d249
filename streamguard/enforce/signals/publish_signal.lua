-- Publishes one kill-signal, once, however often it is sent: the reply to an earlier try may have been lost.
--
-- KEYS[1]  <prefix>signals    stream   gets an entry with the fields `event` and `sig`
-- KEYS[2]  <prefix>sent:<id>  string   set when the entry is added; expires after ARGV[3] seconds
--
-- ARGV[1]  event: the CloudEvents object, JSON text
-- ARGV[2]  sig: its signature, or empty
-- ARGV[3]  seconds that entries are kept, and that a signal is known to have been sent
--
-- Returns 1 when the entry was added, 0 when it was there before, or Redis's own error.
--
-- A worker needs no more than this (it can neither read the stream nor touch another key; <prefix> is `{streamguard}:`):
--
--   ACL SETUSER worker on >PASSWORD ~{streamguard}:signals ~{streamguard}:sent:* +eval +evalsha +script|load +time
--     (~{streamguard}:signals +xadd) (~{streamguard}:sent:* +set)
--
-- Redis asks for read and write on the keys of EVAL itself; what the script may do with them is what the two selectors
-- in parentheses allow. (Redis 6 has no selectors: give +xadd +set instead.) A Cluster's worker needs `+cluster|slots +command`
-- as well, a Sentinel's nothing more on the master.

-- Redis's clock, not a worker's: a worker whose clock is a week ahead would trim every signal.
local now_s = tonumber(redis.call('TIME')[1])
local oldest_ms = (now_s - tonumber(ARGV[3])) * 1000

local mark = redis.pcall('SET', KEYS[2], now_s, 'NX', 'EX', ARGV[3])
if mark == false then
  return 0
end
if mark.err then
  return mark
end

-- Trimmed by age, never by number: MAXLEN would drop what no consumer has read yet.
local entry = redis.pcall('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', oldest_ms), '*',
  'event', ARGV[1], 'sig', ARGV[2])
if type(entry) == 'table' and entry.err then
  -- Not added, so not sent: the mark goes in a millisecond. By SET, which was allowed a moment ago; DEL may not be.
  redis.pcall('SET', KEYS[2], now_s, 'PX', 1)
  return entry
end
return 1
