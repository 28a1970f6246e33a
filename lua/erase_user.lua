--[[
  Ends sessions of a user, and forgets them with the last one: their row, and when they were last
  seen.

  KEYS[1]  to KEYS[19]: the shard's keys (include/keys.lua)
  then the sessions that may be ended, hashes whose last part is the session id

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] id of the user
  ARGV[12] remembered of those who left, users

  Returns {now, 'stale'}, as heartbeat.lua; or {now, outcome}
    outcome  'forgotten'
             'here'  more sessions of theirs are here
]]
-- @include hour
-- @include settings
-- @include keys
-- @include member
-- @include counters
-- @include sessions
-- @include users
local shard, user, hash_of = open_shard(1), ARGV[11], {}
redis.call('ZCARD', shard.active) -- fails where the shard is retired
for k = 20, #KEYS do
  hash_of[string.match(KEYS[k], '([^:]+)$')] = KEYS[k]
end

-- By the row, not by the hashes: one may be lost, or be somebody else's by now.
local function sessions_here()
  return sessions_in(redis.call('HGET', shard.users, user) or '')
end
for _, id, _, country, path in string.gmatch(sessions_here(), USER_SESSION) do
  local hash = hash_of[id]
  if hash then
    local member = member_of(id, country, path, user)
    local score = redis.call('ZSCORE', shard.active, member)
    if redis.call('HGET', hash, 'user') == user then
      redis.call('DEL', hash)
    end
    redis.call('ZREM', shard.active, member)
    if not score then -- the row was wrong
      note_user(shard, user, id, country, path, nil, nil, now)
    elseif tonumber(score) > now then
      end_sessions(shard, {member, score}, now_text, 'ended')
    else
      end_sessions(shard, {member, score})
    end
  end
end
if sessions_here() ~= '' then
  return {now_text, 'here'}
end
redis.call('HDEL', shard.users, user)
redis.call('ZREM', shard.user_seen, user)
return {now_text, 'forgotten'}
