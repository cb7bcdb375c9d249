-- One step of one worker: it says that it lives, extends what it has, and takes, offers or gives back leases; then all
-- leases and workers are told, so that it sees what became of that. Repeated (the reply was lost) it does the same.
--
-- KEYS[1]  <prefix>leases:held     hash    stream -> `owner epoch until_ms offered_to`; offered_to: a worker, * or -
-- KEYS[2]  <prefix>leases:workers  hash    worker -> `until_ms most_streams unwatched draining`
-- KEYS[3]  <prefix>leases:epoch    string  the highest epoch that was given
--
-- ARGV[1]  Unix milliseconds now; empty: Redis's own clock, which is how workers ask
-- ARGV[2]  milliseconds that leases and reports last
-- ARGV[3]  the worker
-- ARGV[4]  its report: `most_streams unwatched draining`; empty: it leaves
-- then for each wish three: what, the stream, and
--   renew    the epoch that it has (0: it watches without a lease); taken anew where nobody has it
--   claim    0; taken where nobody has it, or where it is offered to this worker or to all
--   offer    `epoch offered_to`, of its own lease of that epoch alone
--   release  the epoch, of its own lease of that epoch alone
--
-- Returns {now_ms, KEYS[1] as a flat list, KEYS[2] as a flat list}, or Redis's own error. ACL: docs/signals.md.

local now_ms
if ARGV[1] == '' then
  local now = redis.call('TIME')
  now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
else
  now_ms = tonumber(ARGV[1])
end
local until_ms = now_ms + tonumber(ARGV[2])
local me = ARGV[3]
local FORGET_AFTER_MS = 60000

local function number(value)
  return string.format('%.0f', value)
end

local function read(stream)
  local text = redis.call('HGET', KEYS[1], stream)
  if not text then
    return nil
  end
  local owner, epoch, ends_ms, offered = string.match(text, '^(%S+) (%d+) (%d+) (%S+)$')
  -- No lease lasts longer than one, and no epoch is one that workers do not read: whoever wrote that, it must not keep
  -- a stream from being watched.
  if not owner or #epoch > 15 or tonumber(ends_ms) > now_ms + 2 * tonumber(ARGV[2]) then
    return nil
  end
  return {owner = owner, epoch = tonumber(epoch), ends_ms = tonumber(ends_ms), offered = offered}
end

local function write(stream, epoch, offered)
  redis.call('HSET', KEYS[1], stream, me .. ' ' .. number(epoch) .. ' ' .. number(until_ms) .. ' ' .. offered)
end

-- Of what anybody may have written. Above that workers read no epoch, and nobody would ever have a lease again.
local function sane(epoch)
  if epoch and epoch >= 0 and epoch < 1e14 then
    return math.floor(epoch)
  end
  return 0
end

-- A Redis that lost its data goes on above what workers still know.
local function take(stream, known)
  local epoch = math.max(sane(tonumber(redis.call('GET', KEYS[3]) or '0')), sane(known)) + 1
  redis.call('SET', KEYS[3], number(epoch))
  write(stream, epoch, '-')
end

if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], me)
else
  redis.call('HSET', KEYS[2], me, number(until_ms) .. ' ' .. ARGV[4])
end

for i = 5, #ARGV, 3 do
  local what, stream, more = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local lease = read(stream)
  local is_mine = lease and lease.owner == me
  local is_free = not lease or lease.ends_ms <= now_ms
  if what == 'renew' then
    if is_mine then
      write(stream, lease.epoch, lease.offered)
    elseif is_free then
      take(stream, tonumber(more))
    end
  elseif what == 'claim' then
    if is_free or (not is_mine and (lease.offered == me or lease.offered == '*')) then
      take(stream, 0)
    end
  elseif what == 'offer' then
    local epoch, offered = string.match(more, '^(%d+) (%S+)$')
    if is_mine and lease.epoch == tonumber(epoch) then
      write(stream, lease.epoch, offered)
    end
  elseif what == 'release' then
    if is_mine and lease.epoch == tonumber(more) then
      redis.call('HDEL', KEYS[1], stream)
    end
  end
end

local function told(key, pattern)
  local all = redis.call('HGETALL', key)
  local kept = {}
  for i = 1, #all, 2 do
    local ends_ms = tonumber(string.match(all[i + 1], pattern))
    if ends_ms and ends_ms + FORGET_AFTER_MS > now_ms then
      kept[#kept + 1] = all[i]
      kept[#kept + 1] = all[i + 1]
    else
      redis.call('HDEL', key, all[i])
    end
  end
  return kept
end

return {number(now_ms), told(KEYS[1], '^%S+ %d+ (%d+) '), told(KEYS[2], '^(%d+) ')}
