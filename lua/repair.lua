--[[
  Counts pages, countries, places and users anew from `active`: for `presence doctor --repair`, after
  somebody has edited keys by hand. Takes time in proportion to the active sessions.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'counted', pages, countries, places}: how many
  counters were written; then, where there are 19 keys, users: how many are here
]]
-- @include hour
-- @include keys
-- @include unswept
-- @include user_row
-- @include user_repair
local shard = open_shard(1)

local function rewrite(key, counts)
  local life_ms, written = redis.call('PTTL', shard.active), 0
  redis.call('DEL', key)
  for name, count in pairs(counts) do
    redis.call('ZADD', key, count, name)
    written = written + 1
  end
  if life_ms > 0 then
    redis.call('PEXPIRE', key, life_ms)
  end
  return format(written)
end

local pages, countries, places, users, ids, ends, is_here = {}, {}, {}, {}, {}, {}, {}
local rows = redis.call('ZRANGE', shard.active, 0, -1, 'WITHSCORES')
for i = 1, #rows, 2 do
  local id, country, user, path = string.match(rows[i], MEMBER)
  if path then
    if user ~= '' then
      users[user] = users[user] or {}
      table.insert(users[user], {id, country, path})
    end
    add(pages, path, 1)
    add(countries, country, 1)
    ids[#ids + 1], ends[#ends + 1], is_here[id] = id, math.ceil(tonumber(rows[i + 1])), true
  end
end
for _, id in ipairs(redis.call('HKEYS', shard.located)) do
  if not is_here[id] then
    redis.call('HDEL', shard.located, id)
  end
end
add_places(places, shard, ids, ends)
local reply = {now_text, 'counted', rewrite(shard.pages, pages),
  rewrite(shard.countries, countries), rewrite(shard.places, places)}
if shard.users then
  local here, entries = rewrite_users(shard, users)
  rewrite(shard.user_pages, entries)
  redis.call('PEXPIRE', shard.user_pages, USERS_LIFE_MS)
  reply[#reply + 1] = here
end
-- Whoever follows the log takes a snapshot, as after an erasure: no event tells of this.
if redis.call('EXISTS', shard.events) == 1 then
  redis.call('XADD', shard.events, '*', 'type', 'erased', 'path', '/', 'at', now_text)
end
return reply
