-- What is known of users. Of those who are here only sessions count whose time has not come: whether
-- they are swept already makes no difference.
--
-- For each of these users a table: told, name, avatar, seen, sessions that are here, since when they
-- are, and their paths as a set; false: nothing is known.
local function user_rows(shard, users)
  local rows, members, owners = {}, {}, {}
  for n, text in ipairs(#users > 0 and redis.call('HMGET', shard.users, unpack(users)) or {}) do
    rows[n] = false
    if text then
      local seen, told, name, avatar, rest = string.match(text, USER_ROW)
      rows[n] = {told = told, name = name, avatar = avatar, seen = tonumber(seen) or 0,
        sessions = 0, since = now, paths = {}}
      for _, id, since, country, path in string.gmatch(rest, USER_SESSION) do
        members[#members + 1] = id .. ' ' .. country .. ' ' .. users[n] .. ' ' .. path
        owners[#owners + 1] = {rows[n], tonumber(since), path}
      end
    end
  end
  for first = 1, #members, 1000 do
    local last = math.min(first + 999, #members)
    local scores = redis.call('ZMSCORE', shard.active, unpack(members, first, last))
    for n, score in ipairs(scores) do
      local row, since, path = unpack(owners[first + n - 1])
      score = tonumber(score or '0')
      if score > now then
        row.sessions, row.since = row.sessions + 1, math.min(row.since, since)
        row.paths[path] = true
      end
      -- Who has said goodbye, so that the score ends in .5, is seen until gone.
      row.seen = math.max(row.seen,
        score % 1 == 0 and score - timeout_ms or math.min(now, math.ceil(score)))
    end
  end
  return rows
end

-- A row as it is replied: told, name, avatar, seen, sessions, since, {path, …}.
local function reply_row(row)
  local paths = {}
  for path in pairs(row.paths) do
    paths[#paths + 1] = path
  end
  return {row.told, row.name, row.avatar, format(row.seen), format(row.sessions), format(row.since),
    paths}
end

-- What `user_pages` has of a page: no path has a tab in it, and after it comes the line feed.
local function page_range(path)
  return '[' .. path .. '\t', '(' .. path .. '\n'
end

-- How many users are here, or on a page, without those whose sessions have all expired and are not
-- swept yet.
local function count_users(shard, path)
  local expired = {}
  for user in pairs(unswept_of(shard).users) do
    if not path or redis.call('ZSCORE', shard.user_pages, path .. '\t' .. user) then
      expired[#expired + 1] = user
    end
  end
  local count = path and redis.call('ZLEXCOUNT', shard.user_pages, page_range(path))
    or redis.call('HLEN', shard.users) - redis.call('ZCARD', shard.user_seen)
  for _, row in ipairs(user_rows(shard, expired)) do
    if row and (path and not row.paths[path] or row.sessions == 0) then
      count = count - 1
    end
  end
  return format(count)
end
