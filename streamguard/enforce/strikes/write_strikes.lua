-- Writes how one or more keys stand since a strike or a lift, all or none, if they still are as the caller read them.
--
-- KEYS[1]    <prefix>strikes:audit   stream  gets an entry for each key, with the field `event`
-- KEYS[2]    <prefix>strikes:active  zset    keys that are refused, by the Unix milliseconds until when
-- KEYS[3...] <prefix>strikes:<key>   string  all that is remembered against that key, as JSON
--
-- ARGV[1]    milliseconds that strikes and audit are remembered
-- ARGV[2]    Unix milliseconds now, as Redis told the caller
-- then for each key five: the key; what the caller read ('' where there was nothing); what is to be there;
-- the Unix milliseconds until when it is refused ('0': it is not); the audit's event, JSON text
--
-- Returns 1 when it was written, 0 when another writer came first: read again. Or Redis's own error; try again then.
--
--   ACL: docs/signals.md, "Permissions". Redis asks for read and write on the keys of EVAL itself.

local PER_KEY = 5
for i = 3, #KEYS do
  local at = 2 + (i - 3) * PER_KEY
  if (redis.call('GET', KEYS[i]) or '') ~= ARGV[at + 2] then
    return 0
  end
end

local oldest_ms = tonumber(ARGV[2]) - tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2])
for i = 3, #KEYS do
  local at = 2 + (i - 3) * PER_KEY
  local key, new, until_ms, event = ARGV[at + 1], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  if until_ms == '0' then
    redis.call('ZREM', KEYS[2], key)
  else
    redis.call('ZADD', KEYS[2], until_ms, key)
  end
  redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(0, oldest_ms)), '*', 'event', event)
  -- Last: by this a later try knows that all is done. Remembered from when the strike ends, not from when it began.
  local keep_ms = tonumber(ARGV[1]) + math.max(0, tonumber(until_ms) - tonumber(ARGV[2]))
  redis.call('SET', KEYS[i], new, 'PX', string.format('%.0f', keep_ms))
end
return 1
