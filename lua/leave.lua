--[[
  Says goodbye: the session expires after a grace instead of at its timeout. A heartbeat in
  between cancels it, so that a reload does not flicker. Who has gone is noticed like any
  timeout, by the sweep.

  From a page that is left at once the goodbye may come before the first heartbeat: they travel on
  two connections. So one of an unknown session is noted for the grace, with its path, and
  heartbeat.lua gives a session that is created on that path meanwhile no longer life.

  KEYS[1] active   zset  "<id> <country or --> <path>" -> when it expires, ms
  KEYS[2] session  hash  its last part is the session id

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] grace, ms
  ARGV[3] session timeout, ms
  ARGV[4] path of the page that was left; empty: not known

  Returns {now, outcome, expires}
    outcome  'leaving'  the session expires at `expires`, ms
             'unknown'  there is no such session; `expires` is when its being noted ends, or empty
]]
local active, session = KEYS[1], KEYS[2]
local grace_ms, timeout_ms, path = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
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

local known = redis.call('HMGET', session, 'path', 'seen', 'country', 'leaving')
if not (known[1] and known[2]) then
  if path ~= '' and grace_ms > 0 then
    local until_text = string.format('%.0f', now + grace_ms)
    redis.call('HSET', session, 'leaving', until_text .. ' ' .. path)
    redis.call('PEXPIREAT', session, until_text)
    return {now_text, 'unknown', until_text}
  end
  return {now_text, 'unknown', ''}
end
local expires = known[4] and tonumber(known[4]) or tonumber(known[2]) + timeout_ms
if expires <= now then
  return {now_text, 'unknown', ''}
end
local leaves = math.min(expires, now + grace_ms)
local leaves_text = string.format('%.0f', leaves)
local id = string.match(session, '([^:]+)$')
local member = id .. ' ' .. (known[3] or '--') .. ' ' .. known[1]
-- Half a millisecond less changes nothing for a clock of whole milliseconds, and tells the
-- sweep, which finds no hash any more, that this was a goodbye and not a timeout.
if redis.call('ZADD', active, 'XX', 'CH', string.format('%.1f', leaves - 0.5), member) == 0
  and not redis.call('ZSCORE', active, member) then
  return {now_text, 'unknown', ''}
end
redis.call('HSET', session, 'leaving', leaves_text)
redis.call('PEXPIREAT', session, leaves_text)
return {now_text, 'leaving', leaves_text}
