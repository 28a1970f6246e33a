--[[
  Ends a session at once: by an operator's order, or because it lives on in a shard of a newer
  layout, into which it was carried (include/carry.lua); then nobody is told that it left.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)
  KEYS[-1] session  hash  its last part is the session id

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] why: 'ended' or 'carried'
  ARGV[12] remembered of those who left, users; only where the shard has 19 keys

  Returns {now, 'stale'}, as heartbeat.lua; or {now, outcome}
    outcome  'ended' or 'carried'
             'unknown'  there is no such session, nothing was written
]]
-- @include hour
-- @include settings
-- @include keys
-- @include member
-- @include counters
-- @include sessions
-- @include users
local shard, session, why = open_shard(1), KEYS[#KEYS], ARGV[11]

local was = read_session(session)
local member = member_of(string.match(session, '([^:]+)$'), was.country, was.path or '', was.user)
local score = redis.call('ZSCORE', shard.active, member) -- fails where the shard is retired
-- Of one that was carried, the end that it had here is none: the sweep must not tell it.
if not score or (why == 'ended' and tonumber(score) <= now) then
  return {now_text, 'unknown'}
end
redis.call('ZREM', shard.active, member)
redis.call('DEL', session)
end_sessions(shard, {member, score}, now_text, why)
return {now_text, why}
