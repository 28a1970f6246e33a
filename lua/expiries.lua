--[[
  When sessions expire.

  KEYS[1]  to KEYS[15] or KEYS[18]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  then for each session
  ARGV[+1] path and who is there, as a member of `active`

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'scores', score, score …}
    score  ms; 0: it is not there
]]
-- @include clock
-- @include hour
-- @include keys
local active, reply = open_shard(1).active, {now_text, 'scores'}
for first = 3, #ARGV, 1000 do
  local members = {unpack(ARGV, first, math.min(first + 999, #ARGV))}
  for n, score in ipairs(redis.call('ZMSCORE', active, unpack(members))) do
    reply[first + n - 1] = score or '0'
  end
end
return reply
