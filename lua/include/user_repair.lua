-- Writes the rows of users anew from members of `active`. What was told of a user, since when a
-- session is here, and when who left was last seen is kept as far as the rows still have it.
-- `members` are {id, country, path}, by user. Returns how many users are here.
local function rewrite_users(shard, members)
  local pages, here = {}, 0
  for _, user in ipairs(redis.call('HKEYS', shard.users)) do
    members[user] = members[user] or {}
  end
  for _, user in ipairs(redis.call('ZRANGE', shard.user_seen, 0, -1)) do
    members[user] = members[user] or {}
  end
  for user, sessions in pairs(members) do
    local row = redis.call('HGET', shard.users, user) or ''
    local seen, told, name, avatar, rest = string.match(row, USER_ROW)
    local began, written = {}, {seen or '', told or '', name or '', avatar or ''}
    for _, id, since, country, path in string.gmatch(rest or '', USER_SESSION) do
      began[id .. ' ' .. country .. ' ' .. path] = since
    end
    for _, session in ipairs(sessions) do
      local id, country, path = unpack(session)
      local since = began[id .. ' ' .. country .. ' ' .. path] or now_text
      written[#written + 1] = id .. ' ' .. since .. ' ' .. country .. ' ' .. path
      pages[path .. '\t' .. user] = 0
    end
    if #sessions == 0 then
      if written[1] == '' then
        written[1] = format(redis.call('ZSCORE', shard.user_seen, user) or now)
      end
      redis.call('ZADD', shard.user_seen, written[1], user)
    else
      redis.call('ZREM', shard.user_seen, user)
      here = here + 1
    end
    redis.call('HSET', shard.users, user, table.concat(written, '\t'))
  end
  for _, key in ipairs({shard.users, shard.user_seen}) do
    redis.call('PEXPIRE', key, USERS_LIFE_MS)
  end
  return format(here), pages
end
