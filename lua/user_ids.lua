--[[
  All users who are here, or on a page, by id: where sites are split, shards must be compared to count
  each user once.

  KEYS[1]  to KEYS[18]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  path; empty: all pages

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'users', user, user …}
]]
-- @include clock
-- @include hour
-- @include keys
-- @include member
-- @include tally
-- @include places
-- @include unswept
-- @include user_row
-- @include user_scores
local shard, path = open_shard(1), ARGV[3]
local reply, is_told, from, to = {now_text, 'users'}, {}, '-', '+'
if path ~= '' then
  from, to = page_range(path)
end
for _, user in ipairs(expired_users(shard, path ~= '' and path)) do
  is_told[user] = true
end
for _, place in ipairs(redis.call('ZRANGEBYLEX', shard.user_pages, from, to)) do
  local user = string.match(place, '[^\t]*$')
  if not is_told[user] then
    is_told[user] = true
    reply[#reply + 1] = user
  end
end
return reply
