-- Tells of publishers that the gate let in, many in one step: it lets in a thousand a second.
--
-- KEYS[1...n]  <prefix>strikes:who:<stream>  list   the newest who published there, and as whose; may be none
--
-- ARGV[1]  <prefix>publishers, a channel
-- ARGV[2]  how many are kept of each list
-- ARGV[3]  milliseconds that they are kept
-- ARGV[4...3+n]  what each of the keys gets, JSON text; then hints for the channel, JSON text
--
-- Returns how many hints there were. ACL: docs/signals.md, "Permissions".

-- Redis's clock, as that of strikes.
local now = redis.call('TIME')
local now_ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))

for i = 1, #KEYS do
  redis.call('LPUSH', KEYS[i], now_ms .. ' ' .. ARGV[3 + i])
  redis.call('LTRIM', KEYS[i], 0, ARGV[2] - 1)
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
for i = 4 + #KEYS, #ARGV do
  redis.call('PUBLISH', ARGV[1], ARGV[i])
end
return #ARGV - 3 - #KEYS
