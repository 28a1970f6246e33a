--[[
  Which users are on which pages, or what has changed of that since a reader last looked. Where a
  site is split, only who compares the shards can count each user once.

  KEYS[1]  to KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  length of events, entries
  ARGV[4]  the last entry in events that the reader knows, a stream id; empty: nothing is known
  ARGV[5]  the page that is asked about, a path; empty: all

  Returns {now, 'stale'}, as heartbeat.lua; or {now, status, event, expired, user_pages, users}
    status      'all'      user_pages are all, for what changed cannot be told; users is empty
                'changed'  user_pages are those of users
    event       id of the last entry in events
    expired     {user, …} who count as on the page, all of them: whatever they have there has expired
                and is not swept yet
    user_pages  {"<path><tab><user>", …}, some more than once
    users       {user, …} who have come, moved or gone, in any order
]]
-- @include hour
-- @include keys
-- @include unswept
-- @include entries_after
-- @include user_row
-- @include user_scores
local CHANGES = 1000 -- beyond them the whole is as quickly told
local shard, known, path = open_shard(1), ARGV[4], ARGV[5]
local expired = expired_users(shard, path ~= '' and path)

local entries = known ~= '' and entries_after(shard, known, CHANGES, tonumber(ARGV[3]))
if not entries then
  local last = redis.call('XREVRANGE', shard.events, '+', '-', 'COUNT', 1)[1]
  local all = redis.call('ZRANGE', shard.user_pages, 0, -1)
  return {now_text, 'all', last and last[1] or '0-0', expired, all, {}}
end

local users, user_pages, is_named = {}, {}, {[''] = true}
for _, entry in ipairs(entries) do
  for _, user in ipairs({entry.user or '', entry.was}) do
    if not is_named[user] then
      is_named[user] = true
      users[#users + 1] = user
    end
  end
end
local rows = #users > 0 and redis.call('HMGET', shard.users, unpack(users)) or {}
for n, row in ipairs(rows) do
  for _, _, _, _, page in string.gmatch(sessions_in(row or ''), USER_SESSION) do
    user_pages[#user_pages + 1] = page .. '\t' .. users[n]
  end
end
return {now_text, 'changed', #entries > 0 and entries[#entries].id or known, expired, user_pages, users}
