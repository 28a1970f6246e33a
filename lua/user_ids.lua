--[[
  All users who are here, or on a page, by id: where sites are split, shards must be compared to count
  each user once.

  KEYS[1]  to KEYS[18]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  session timeout, ms
  ARGV[4]  path; empty: all pages

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'users', user, user …}
]]
-- @include clock
-- @include hour
-- @include keys
-- @include member
local shard, timeout_ms, path = open_shard(1), tonumber(ARGV[3]), ARGV[4]
-- @include tally
-- @include places
-- @include unswept
-- @include user_row
-- @include user_rows
local expired = {}
for user in pairs(unswept_of(shard).users) do
  expired[#expired + 1] = user
end
local is_gone = {}
for n, row in ipairs(user_rows(shard, expired)) do
  is_gone[expired[n]] = row and (row.sessions == 0 or path ~= '' and not row.paths[path])
end
local reply, is_listed = {now_text, 'users'}, {}
local from, to = '-', '+'
if path ~= '' then
  from, to = page_range(path)
end
for _, entry in ipairs(redis.call('ZRANGEBYLEX', shard.user_pages, from, to)) do
  local user = string.match(entry, '[^\t]*$')
  if not (is_gone[user] or is_listed[user]) then
    is_listed[user] = true
    reply[#reply + 1] = user
  end
end
return reply
