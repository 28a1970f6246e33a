--[[
  Lists active sessions that come after a place, those first that expire first. The place is
  found and read on from in one step: whoever beats meanwhile moves towards the end and comes
  again, and nobody is missed.

  KEYS[1] active  zset  "<id> <country or --> <path>" -> when it expires, ms

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] the score where the last answer stopped, ms; 0: from the beginning
  ARGV[3] the member where it stopped; empty: from the beginning
  ARGV[4] sessions to return at the most, sessions

  Returns {now, member, score, member, score …}
]]
local active = KEYS[1]
local score, member, limit = ARGV[2], ARGV[3], tonumber(ARGV[4])
-- @include clock
-- The only clock is the one of Redis, asked once; tests and replays may give their own.
local now
if ARGV[1] == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(ARGV[1])
end
local now_text = string.format('%.0f', now)
-- @end

local expired = redis.call('ZCOUNT', active, '-inf', now_text)
local after = redis.call('ZCOUNT', active, '-inf', '(' .. score)
-- One that has moved on leaves only its score as the place; its equals come again.
if tonumber(redis.call('ZSCORE', active, member) or '-1') == tonumber(score) then
  after = redis.call('ZRANK', active, member) + 1
end
local start = math.max(expired, after)
local reply = redis.call('ZRANGE', active, string.format('%.0f', start),
  string.format('%.0f', start + limit - 1), 'WITHSCORES')
table.insert(reply, 1, now_text)
return reply
