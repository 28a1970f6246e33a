--[[
  Lists users who are here, or on a page, in the order of `user_pages`: by page, then by id. A user
  who is on several pages comes once for each.

  KEYS[1]  to KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  path; empty: all pages
  ARGV[4]  where the last answer stopped, "<path><tab><user>"; empty: from the beginning
  ARGV[5]  rows to return at most, users; 0: only the total

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'users', total, user_pages, rows, scores}
    total       users who are here, or on that page
    user_pages  {"<path><tab><user>", …}
    rows        {row, …}: what `users` has of each of them
    scores      {score, …}: when each of the sessions in these rows expires, ms, in order
]]
-- @include hour
-- @include keys
-- @include unswept
-- @include user_row
-- @include user_scores
local shard, path, position, limit = open_shard(1), ARGV[3], ARGV[4], tonumber(ARGV[5])

local from, to = '-', '+'
if path ~= '' then
  from, to = page_range(path)
end
if position ~= '' then
  from = '(' .. position
end
local user_pages = limit > 0
  and redis.call('ZRANGEBYLEX', shard.user_pages, from, to, 'LIMIT', 0, limit) or {}
local users = {}
for n, user_page in ipairs(user_pages) do
  users[n] = string.match(user_page, '[^\t]*$')
end
local rows = #users > 0 and redis.call('HMGET', shard.users, unpack(users)) or {}
local scores = user_scores(shard, users, rows)
for n, row in ipairs(rows) do
  rows[n] = row or ''
end
return {now_text, 'users', count_users(shard, path ~= '' and path), user_pages, rows, scores}
