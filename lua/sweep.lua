--[[
  Removes sessions whose time has come, oldest first, and notes how many are active.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] sessions to remove at most, sessions
  ARGV[12] remembered of those who left, users; only where there are 19 keys

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'swept', removed, backlog, next}
    removed  sessions removed
    backlog  expired sessions still waiting
    next     when the next session expires, ms; empty: nobody is left
]]
-- @include hour
-- @include settings
-- @include keys
-- @include member
-- @include counters
-- @include sessions
-- @include users
-- @include history
local shard, limit = open_shard(1), ARGV[11]

local expired = redis.call('ZRANGEBYSCORE', shard.active, '-inf', now_text, 'WITHSCORES',
  'LIMIT', 0, limit)
if #expired > 0 then
  -- They hold the lowest ranks. A full Redis allows this, and then the rest: sweeping makes room.
  redis.call('ZREMRANGEBYRANK', shard.active, 0, #expired / 2 - 1)
  end_sessions(shard, expired)
end
-- No session can expire later than a timeout from now. One that would was written while the clock
-- stood ahead; it is given a timeout from now, so that nobody is active for ever.
local latest = format(now + timeout_ms)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', shard.active, '(' .. latest, '+inf',
  'LIMIT', 0, limit)) do
  redis.pcall('ZADD', shard.active, 'XX', latest, member)
end
local backlog = redis.call('ZCOUNT', shard.active, '-inf', now_text)
if redis.call('ZCARD', shard.active) > backlog then
  pcall(note_peak, shard) -- a full Redis refuses it where nothing was removed
end
local first = redis.call('ZRANGE', shard.active, 0, 0, 'WITHSCORES')
return {now_text, 'swept', format(#expired / 2), format(backlog),
  first[2] and format(math.ceil(tonumber(first[2]))) or ''}
