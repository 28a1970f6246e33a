--[[
  Says goodbye: the session expires after a grace instead of at its timeout. A heartbeat in between
  cancels it, so that a reload does not flicker. Like a timeout, the end is noticed by the sweep.

  It may come before a session's first heartbeat, on another connection: it is kept for the grace,
  with its path, and heartbeat.lua ends a session that begins on that path meanwhile at the same
  moment. Of another page than the one of a heartbeat within the grace, it changes nothing.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)
  KEYS[-1] session  hash  its last part is the session id

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] grace, ms
  ARGV[12] path of the page that was left; empty: not known

  Returns {now, 'stale'}, as heartbeat.lua; or {now, outcome, expires}
    outcome  'leaving'  the session expires at `expires`, ms
             'unknown'  there is no such session, or it has just come to another page; `expires` is
                        until when the goodbye is kept, or empty
]]
-- @include hour
-- @include settings
-- @include keys
-- @include sessions
local shard, session, grace_ms, path = open_shard(1), KEYS[#KEYS], tonumber(ARGV[11]), ARGV[12]

local was = read_session(session)
local member = member_of(string.match(session, '([^:]+)$'), was.country, was.path or '', was.user)
local score = redis.call('ZSCORE', shard.active, member) -- fails where the shard is retired
if not was.path then
  if path == '' or grace_ms == 0 then
    return {now_text, 'unknown', ''}
  end
  local kept_until = format(now + grace_ms)
  redis.call('HSET', session, 'leaving', kept_until .. ' ' .. path)
  redis.call('PEXPIREAT', session, kept_until)
  return {now_text, 'unknown', kept_until}
end
local expires = tonumber(was.leaving) or was.seen + timeout_ms
local has_gone_on = path ~= '' and path ~= was.path and now - was.seen < grace_ms
if expires <= now or not score or has_gone_on then
  return {now_text, 'unknown', ''}
end
local leaves = math.min(expires, now + grace_ms)
redis.call('HSET', session, 'leaving', format(leaves))
redis.call('PEXPIREAT', session, format(leaves))
-- Half a millisecond less tells the sweep, which finds no hash any more, that this was a goodbye.
redis.call('ZADD', shard.active, 'XX', string.format('%.1f', leaves - 0.5), member)
return {now_text, 'leaving', format(leaves)}
