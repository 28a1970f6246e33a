--[[
  Counts who is active on each of these site shards.

  KEYS[n]  active  zset  "<id> <country or --> <path>" -> when the session expires, ms

  ARGV[1]  now, ms since the epoch; empty: ask TIME

  Returns {now, count, count …}: for each key its active sessions, or 'failed <error>' where it
  has a wrong type, which does not concern the others
]]
-- @include clock
local reply = {now_text}
for _, active in ipairs(KEYS) do
  local count = redis.pcall('ZCOUNT', active, '(' .. now_text, '+inf')
  local is_counted = type(count) == 'number'
  reply[#reply + 1] = is_counted and format(count) or 'failed ' .. tostring(count.err)
end
return reply
