--[[
  Ends a session at once, by an operator's order.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)
  KEYS[-1] session  hash  its last part is the session id

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] remembered of those who left, users; only where the shard has 19 keys

  Returns {now, 'stale'}, as heartbeat.lua; or {now, outcome}
    outcome  'ended'
             'unknown'  there is no such session, nothing was written
]]
-- @include hour
-- @include settings
-- @include keys
-- @include member
-- @include counters
-- @include sessions
-- @include users
local shard, session = open_shard(1), KEYS[#KEYS]

local was = read_session(session)
local member = was.path and member_of(string.match(session, '([^:]+)$'), was.country, was.path, was.user)
local score = member and redis.call('ZSCORE', shard.active, member)
if not score or tonumber(score) <= now then
  return {now_text, 'unknown'}
end
redis.call('ZREM', shard.active, member)
redis.call('DEL', session)
end_sessions(shard, {member, score}, now_text, 'ended')
return {now_text, 'ended'}
