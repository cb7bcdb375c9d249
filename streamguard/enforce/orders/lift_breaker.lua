-- Lets kills pass again, all or those of one reference, and counts anew from nothing.
--
-- KEYS[1]  <prefix>breaker:open     string  goes, of scope all
-- KEYS[2]  <prefix>quarantine       hash    loses the reference
-- KEYS[3]  <prefix>breaker:kills    zset    goes, of scope all
-- KEYS[4]  <prefix>breaker:streams:<reference>  zset  goes, of scope reference
-- KEYS[5]  <prefix>breaker:trusted  hash    until when nothing is counted; see ask_permit.lua
-- KEYS[6]  <prefix>audit            stream  gets an entry with the field `event`
--
-- ARGV[1] all or reference  ARGV[2] the reference, or empty  ARGV[3] who  ARGV[4] why
-- ARGV[5] milliseconds that nothing is counted from now on  ARGV[6] seconds that the audit is kept
--
-- Returns how much there was to change; 0: nothing stood against them, and they were not trusted. They may be from now on;
-- where they are not, counting begins anew and nothing else was changed: the audit has no line of it.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stood, what
if ARGV[1] == 'all' then
  what = 'all'
  stood = redis.call('DEL', KEYS[1])
  redis.call('DEL', KEYS[3])
else
  what = 'reference:' .. ARGV[2]
  stood = redis.call('HDEL', KEYS[2], ARGV[2])
  redis.call('DEL', KEYS[4])
end
for _, field in ipairs(redis.call('HKEYS', KEYS[5])) do
  if (tonumber(redis.call('HGET', KEYS[5], field)) or 0) <= now_ms then
    redis.call('HDEL', KEYS[5], field)
  end
end
local entry = {action = 'lift', signal = '', reference = ARGV[2], who = ARGV[3], why = ARGV[4], at_unix_ms = now_ms}
if tonumber(ARGV[5]) > 0 then
  entry.not_counted_until_unix_ms = now_ms + tonumber(ARGV[5])
  redis.call('HSET', KEYS[5], what, string.format('%.0f', entry.not_counted_until_unix_ms))
else
  -- What was trusted is counted again.
  stood = stood + redis.call('HDEL', KEYS[5], what)
end
if stood == 0 and tonumber(ARGV[5]) == 0 then
  return 0
end
local oldest_ms = math.max(0, now_ms - tonumber(ARGV[6]) * 1000)
redis.call('XADD', KEYS[6], 'MINID', '~', string.format('%.0f', oldest_ms), '*', 'event', cjson.encode(entry))
return stood
