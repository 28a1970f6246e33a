--[[
  Lists users who are here, or on a page, in the order of `user_pages`: by page, then by id. In the
  list of all pages a user stands where the first of their pages does.

  KEYS[1]  to KEYS[18]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  session timeout, ms
  ARGV[4]  path; empty: all pages
  ARGV[5]  where the last answer stopped, "<path><tab><user>"; empty: from the beginning
  ARGV[6]  users to return at most, users; 0: only the total

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'users', total, last, place, row, place, row …}
    total  users who are here, or on that page
    last   where this answer stopped; empty: at the end
    place  "<path><tab><user>"
    row    {told, name, avatar, seen, sessions, since, {path, …}}: when name and avatar were told,
           when last seen, sessions that are here, since when, and on which pages
]]
-- @include clock
-- @include hour
-- @include keys
-- @include member
local shard, timeout_ms, limit = open_shard(1), tonumber(ARGV[3]), tonumber(ARGV[6])
local path, position = ARGV[4] ~= '' and ARGV[4] or nil, ARGV[5]
-- @include tally
-- @include places
-- @include unswept
-- @include user_row
-- @include user_rows
local LOOKED_AT_MOST = 5000 -- entries, of users who are on many pages

local function is_first_page(row, page)
  for other in pairs(row.paths) do
    if other < page then
      return false
    end
  end
  return true
end

local from, to = '-', '+'
if path then
  from, to = page_range(path)
end
if position ~= '' then
  from = '(' .. position
end
local reply, found, looked_at = {now_text, 'users', count_users(shard, path), ''}, 0, 0
while found < limit and looked_at < LOOKED_AT_MOST do
  local entries = redis.call('ZRANGEBYLEX', shard.user_pages, from, to, 'LIMIT', 0, limit - found)
  if #entries == 0 then
    reply[4] = ''
    break
  end
  local users = {}
  for n, entry in ipairs(entries) do
    users[n] = string.match(entry, '[^\t]*$')
  end
  for n, row in ipairs(user_rows(shard, users)) do
    local page = string.match(entries[n], '^[^\t]*')
    if row and row.paths[page] and (path or is_first_page(row, page)) then
      found = found + 1
      reply[#reply + 1] = entries[n]
      reply[#reply + 1] = reply_row(row)
    end
  end
  looked_at = looked_at + #entries
  reply[4] = entries[#entries]
  from = '(' .. reply[4]
end
if found == limit and #redis.call('ZRANGEBYLEX', shard.user_pages, from, to, 'LIMIT', 0, 1) == 0 then
  reply[4] = ''
end
return reply
