--[[
  Counts who is active on each of these site shards, without sweeping any.

  KEYS[n]  active  zset  "<id> <country or --> <path>" -> when it expires, ms

  ARGV[1]  now, ms since the epoch; empty: ask TIME

  Returns {now, count, count …}: for each key its active sessions, or 'failed <error>' where it has
  a wrong type, which does not concern the others
]]
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

local reply = {now_text}
for _, active in ipairs(KEYS) do
  local count = redis.pcall('ZCOUNT', active, '(' .. now_text, '+inf')
  if type(count) == 'number' then
    count = string.format('%.0f', count)
  else
    count = 'failed ' .. tostring(count.err)
  end
  reply[#reply + 1] = count
end
return reply
