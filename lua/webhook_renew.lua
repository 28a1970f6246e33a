--[[
  Renews a lease of an endpoint, and with it keeps how far its messages have come: in one step, and
  for nobody but the holder of the lease.

  KEYS[1] webhook  hash  as of webhook_lease.lua

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] id of the lease, its fence
  ARGV[3] lease, ms; 0: give it back
  then for each field to set
  ARGV[+1] id of the field
  ARGV[+2] its value; empty: none any more, remove the field

  Returns {now, status}
    'renewed'
    'lost'  another copy has had the endpoint since, or it was deleted: nothing was written
]]
-- @include clock
local webhook = KEYS[1]
if redis.call('HGET', webhook, 'fence') ~= ARGV[2] then
  return {now_text, 'lost'}
end
redis.call('HSET', webhook, 'until', format(now + tonumber(ARGV[3])))
redis.call('PEXPIRE', webhook, 30 * 86400000)
for argument = 4, #ARGV, 2 do
  if ARGV[argument + 1] == '' then
    redis.call('HDEL', webhook, ARGV[argument])
  else
    redis.call('HSET', webhook, ARGV[argument], ARGV[argument + 1])
  end
end
return {now_text, 'renewed'}
