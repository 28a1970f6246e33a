--[[
  What is known of some users, who are here or were.

  KEYS[1]  to KEYS[18]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  session timeout, ms
  then for each user
  ARGV[+1] id of a user

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'known', row, row …}
    row  as in users.lua; empty: nothing is known
]]
-- @include clock
-- @include hour
-- @include keys
local shard, timeout_ms = open_shard(1), tonumber(ARGV[3])
-- @include user_row
-- @include user_rows
local reply = {now_text, 'known'}
for n, row in ipairs(user_rows(shard, {unpack(ARGV, 4)})) do
  reply[n + 2] = row and reply_row(row) or ''
end
return reply
