--[[
  Lists active sessions that come after a position, those first that expire first. The position is
  found and read on from in one step: whoever beats meanwhile moves towards the end and comes again,
  and nobody is missed.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  the score where the last answer stopped, ms; 0: from the beginning
  ARGV[4]  the member where it stopped; empty: from the beginning
  ARGV[5]  sessions to return at most, sessions

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'listed', member, score, member, score …}
]]
-- @include hour
-- @include keys
local active, score, member, limit = open_shard(1).active, ARGV[3], ARGV[4], tonumber(ARGV[5])

local expired = redis.call('ZCOUNT', active, '-inf', now_text)
local after = redis.call('ZCOUNT', active, '-inf', '(' .. score)
-- One that has moved on leaves only its score as the position; its equals come again.
if tonumber(redis.call('ZSCORE', active, member) or '-1') == tonumber(score) then
  after = redis.call('ZRANK', active, member) + 1
end
local start = math.max(expired, after)
return {now_text, 'listed',
  unpack(redis.call('ZRANGE', active, format(start), format(start + limit - 1), 'WITHSCORES'))}
