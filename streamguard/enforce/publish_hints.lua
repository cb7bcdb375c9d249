-- Publishes what the gate has to tell of publishers, many in one step: a gate lets in a thousand a second.
--
-- KEYS     none
-- ARGV[1]  <prefix>publishers, a channel
-- ARGV[2...] hints, JSON text
--
-- ACL: &<prefix>publishers +eval +evalsha +publish

for i = 2, #ARGV do
  redis.call('PUBLISH', ARGV[1], ARGV[i])
end
return #ARGV - 1
