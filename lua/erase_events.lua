--[[
  Erases sessions from `events`, for themselves or because a user was in them. What their entries
  add up to is written in their place, so that the log still replays to `active`; and `erased`, so
  that whoever has read less than all of it takes a snapshot (changes.lua).

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)
  then the sessions, hashes whose last part is the session id: one that has outlived its member, and
  still names the user if there is one, goes as well

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] the last entry that was looked at, a stream id
  ARGV[12] id of the user; empty: whoever was in them
  ARGV[13] what is erased, entries: their ids, with spaces between them
  ARGV[14] who joined by what is written for it, entries: JSON, {{session, path, at, 'country',
           country, …}, …}

  Returns {now, 'stale'}, as heartbeat.lua; or {now, outcome}
    outcome  'erased'
             'outdated'  the user is here again, or the log is not what it was: nothing was written
]]
-- @include hour
-- @include settings
-- @include keys
-- @include user_row
-- @include sessions
local LATER = 500 -- entries that are looked at for such sessions
local shard, user, ids, is_erased = open_shard(1), ARGV[12], {}, {}
local first_session = shard.users and 20 or 17
for k = first_session, #KEYS do
  is_erased[string.match(KEYS[k], '([^:]+)$')] = true
end

for id in string.gmatch(ARGV[13], '%S+') do
  ids[#ids + 1] = id
end
local later = redis.call('XRANGE', shard.events, '(' .. ARGV[11], '+', 'COUNT', LATER)
local is_outdated = #later == LATER
  or (user ~= '' and sessions_in(redis.call('HGET', shard.users, user) or '') ~= '')
  or (ids[1] and #redis.call('XRANGE', shard.events, ids[1], ids[1]) == 0) -- the site was deleted
for _, entry in ipairs(later) do
  is_outdated = is_outdated or is_erased[entry[2][4]]
end
if is_outdated then
  return {now_text, 'outdated'}
end
for k = first_session, #KEYS do
  if user == '' or redis.call('HGET', KEYS[k], 'user') == user then
    redis.call('DEL', KEYS[k])
  end
end
if #ids == 0 then
  return {now_text, 'erased'}
end
for first = 1, #ids, 1000 do
  redis.call('XDEL', shard.events, unpack(ids, first, math.min(first + 999, #ids)))
end
for _, event in ipairs(cjson.decode(ARGV[14])) do
  log_event(shard, 'joined', unpack(event))
end
-- With a path, for copies of an earlier release, which read one of every entry.
redis.call('XADD', shard.events, 'MAXLEN', '~', events_maxlen, '*', 'type', 'erased', 'path', '/',
  'at', now_text)
return {now_text, 'erased'}
