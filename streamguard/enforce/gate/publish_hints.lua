-- Tells of publishers that the gate let in, many in one step: it lets in a thousand a second.
--
-- KEYS[1]      <prefix>strikes:who:          zset   the lists below, by the Unix milliseconds of their newest entry;
-- KEYS[2...n]  <prefix>strikes:who:<stream>  list   the newest who published there, and as whose
--              Where there are no lists there are no KEYS at all. No stream's name is empty: the two never meet.
--
-- ARGV[1]  <prefix>publishers, a channel
-- ARGV[2]  how many are kept of each list
-- ARGV[3]  milliseconds that they are kept
-- ARGV[4]  how many lists there may be: the oldest beyond that are deleted
-- ARGV[5...]  what each of the lists gets, JSON text; then hints for the channel, JSON text
--
-- Returns how many hints there were. ACL: docs/signals.md, "Permissions".

-- Redis's clock, as that of strikes.
local now = redis.call('TIME')
local now_ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))

for i = 2, #KEYS do
  redis.call('LPUSH', KEYS[i], now_ms .. ' ' .. ARGV[3 + i])
  redis.call('LTRIM', KEYS[i], 0, ARGV[2] - 1)
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
  redis.call('ZADD', KEYS[1], now_ms, KEYS[i])
end
if #KEYS > 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  -- Whoever may publish may publish under any number of names, and a full Redis takes no kill-signals.
  local beyond = redis.call('ZCARD', KEYS[1]) - ARGV[4]
  if beyond > 0 then
    local oldest = redis.call('ZPOPMIN', KEYS[1], beyond)
    for i = 1, #oldest, 2 do
      redis.call('DEL', oldest[i])
    end
  end
end
local before_hints = 4 + math.max(0, #KEYS - 1)
for i = before_hints + 1, #ARGV do
  redis.call('PUBLISH', ARGV[1], ARGV[i])
end
return #ARGV - before_hints
