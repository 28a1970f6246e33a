--[[
  Forgets a user who is not here: their row, and when they were last seen.

  KEYS[1]  to KEYS[18]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] id of the user

  Returns {now, 'stale'}, as heartbeat.lua; or {now, outcome}
    outcome  'forgotten'
             'here'  a session of theirs is here, nothing was written
]]
-- @include clock
-- @include hour
-- @include settings
-- @include keys
-- @include user_row
local shard, user = open_shard(1), ARGV[11]

if sessions_in(redis.call('HGET', shard.users, user) or '') ~= '' then
  return {now_text, 'here'}
end
redis.call('HDEL', shard.users, user)
redis.call('ZREM', shard.user_seen, user)
return {now_text, 'forgotten'}
