-- Which of several commands the user of this connection may not run. None of them is run.
--
-- No keys: what is asked about is the user's rights, and its keys are words like any.
--
-- ARGV  for each command how many words it has, and its words
--
-- Returns the numbers of those that may not be run, from 1; nil where this Redis cannot say (before 7).
--
--   ACL: +eval, which whoever sends signals has anyway.

if not redis.acl_check_cmd then
  return false
end
local refused, at, number = {}, 1, 0
while at <= #ARGV do
  local words = {}
  local count = tonumber(ARGV[at])
  for i = 1, count do
    words[i] = ARGV[at + i]
  end
  number = number + 1
  -- A command that this Redis does not know is none that it refuses.
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if known and not allowed then
    refused[#refused + 1] = number
  end
  at = at + count + 1
end
return refused
