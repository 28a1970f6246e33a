--[[
  The cheapest read: how many are active, and how many on some pages, or at some places. `active`
  is counted by score; who has expired is left out of the rest (include/unswept.lua).

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  what is asked for, 'pages' or 'places'
  then for each page or place asked for
  ARGV[+1] path, or place

  Returns {now, 'stale'}, as heartbeat.lua; or {now, active, count, count …}
    active   active sessions
    count    active sessions on that page, or at that place
]]
-- @include hour
-- @include keys
local shard = open_shard(1)
local reply = {now_text, format(redis.call('ZCOUNT', shard.active, '(' .. now_text, '+inf'))}
if #ARGV == 3 then
  return reply
end
-- @include unswept
local kind = ARGV[3]
local expired = unswept_of(shard)[kind]
for argument = 4, #ARGV do
  reply[#reply + 1] = count_without(shard[kind], expired, ARGV[argument])
end
return reply
