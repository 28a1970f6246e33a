-- @include user_row
-- Who is here, where a site knows it: a row for each user (include/keys.lua says of what), the
-- pages they are on, and when those who left were last seen. A row is kept for 30 days after that,
-- and at most as many of those who left as the last argument says.
local USERS_KEPT = tonumber(ARGV[#ARGV])

local function forget_users(shard)
  local earliest = format(now - USERS_LIFE_MS)
  local count = math.min(redis.call('ZCARD', shard.user_seen) - USERS_KEPT, 100)
  for _, user in ipairs(count > 0 and redis.call('ZRANGE', shard.user_seen, 0, count - 1)
    or redis.call('ZRANGEBYSCORE', shard.user_seen, '-inf', earliest, 'LIMIT', 0, 100)) do
    redis.call('ZREM', shard.user_seen, user)
    redis.call('HDEL', shard.users, user)
  end
end

local function renew_users(shard)
  redis.call('PEXPIRE', shard.users, USERS_LIFE_MS)
  redis.call('PEXPIRE', shard.user_pages, USERS_LIFE_MS)
  redis.call('PEXPIRE', shard.user_seen, USERS_LIFE_MS)
end

-- Moves a session of a user from page `from` to page `to`; nil: it begins, or it ended, last seen at
-- `last_seen`, ms. `details`: name and avatar, where told, and since when it is theirs, if before now.
function note_user(shard, user, session, country, from, to, details, last_seen)
  local row = redis.call('HGET', shard.users, user) or '\t\t\t'
  local seen, told, name, avatar, rest = string.match(row, USER_ROW)
  local sessions, is_on, began = {}, {}, details and details.began or now_text
  for text, id, since, at, path in string.gmatch(rest, USER_SESSION) do
    if id == session and at == country and path == from then
      began = since
    else
      sessions[#sessions + 1] = text
      is_on[path] = true
    end
  end
  local is_new_page = to and not is_on[to]
  if to then
    sessions[#sessions + 1] = session .. ' ' .. began .. ' ' .. country .. ' ' .. to
    is_on[to] = true
    if details.name or details.avatar then -- also the same: another shard may have been told others
      told, name, avatar = now_text, details.name or name, details.avatar or avatar
    end
  else
    seen = format(math.max(tonumber(seen) or 0, last_seen))
  end
  redis.call('HSET', shard.users, user,
    table.concat({seen, told, name, avatar, unpack(sessions)}, '\t'))
  if is_new_page then
    redis.call('ZADD', shard.user_pages, 0, to .. '\t' .. user)
  end
  if from and not is_on[from] then
    redis.call('ZREM', shard.user_pages, from .. '\t' .. user)
  end
  if #sessions == 0 then
    redis.call('ZADD', shard.user_seen, seen, user)
    forget_users(shard)
    renew_users(shard)
  elseif rest == '' then
    redis.call('ZREM', shard.user_seen, user)
    renew_users(shard)
  end
end
