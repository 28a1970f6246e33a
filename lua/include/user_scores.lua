-- When the sessions of these users expire, ms, in the order of their rows, as HMGET gives them.
local function user_scores(shard, users, rows)
  local members, scores = {}, {}
  for n, row in ipairs(rows) do
    local user = ' ' .. users[n] .. ' '
    for _, id, _, country, path in string.gmatch(sessions_in(row or ''), USER_SESSION) do
      members[#members + 1] = id .. ' ' .. country .. user .. path
    end
  end
  for first = 1, #members, 1000 do
    local last = math.min(first + 999, #members)
    for _, score in ipairs(redis.call('ZMSCORE', shard.active, unpack(members, first, last))) do
      scores[#scores + 1] = score or '0'
    end
  end
  return scores
end

-- What `user_pages` has of a page: no path has a tab in it, and after it comes the line feed.
local function page_range(path)
  return '[' .. path .. '\t', '(' .. path .. '\n'
end

-- Users who count as here, or as on a page, though all that they have there is expired sessions that
-- nobody has swept yet.
local function expired_users(shard, path)
  local users, expired = {}, {}
  for user in pairs(unswept_of(shard).users) do
    users[#users + 1] = user
  end
  local rows = #users > 0 and redis.call('HMGET', shard.users, unpack(users)) or {}
  for n, row in ipairs(rows) do
    local scores, i, is_there, is_left = user_scores(shard, {users[n]}, {row}), 0, false, false
    for _, _, _, _, page in string.gmatch(sessions_in(row or ''), USER_SESSION) do
      i = i + 1
      if not path or page == path then
        is_there = true
        is_left = is_left or tonumber(scores[i]) > now
      end
    end
    if is_there and not is_left then
      expired[#expired + 1] = users[n]
    end
  end
  return expired
end

local function count_users(shard, path)
  local count = path and redis.call('ZLEXCOUNT', shard.user_pages, page_range(path))
    or redis.call('HLEN', shard.users) - redis.call('ZCARD', shard.user_seen)
  return format(count - #expired_users(shard, path))
end
