-- @include member
-- @include tally
-- Adds up where these sessions are, and how they came, that end at `ends`, ms: a session once, though
-- it may be among them with its old member and its new one.
local function add_places(places, shard, ids, ends)
  local CHUNK, is_counted = 500, {}
  for first = 1, #ids, CHUNK do
    local last = math.min(first + CHUNK - 1, #ids)
    for n, held in ipairs(redis.call('HMGET', shard.located, unpack(ids, first, last))) do
      local id = ids[first + n - 1]
      local names = not is_counted[id] and noted_of(held, ends[first + n - 1])
      if names then
        is_counted[id] = true
        add_noted(places, names, 1)
      end
    end
  end
end

-- Expired sessions that nobody has swept yet: `active` is counted without them by score, but the
-- counters have them still. Readers leave them out, up to so many of a shard.
local UNSWEPT_LIMIT = 500

local function unswept_of(shard)
  local rows = redis.call('ZRANGEBYSCORE', shard.active, '-inf', now_text, 'WITHSCORES',
    'LIMIT', 0, UNSWEPT_LIMIT)
  local pages, countries, places, users, ids, ends = {}, {}, {}, {}, {}, {}
  for i = 1, #rows, 2 do
    local id, country, user, path = string.match(rows[i], MEMBER)
    if user ~= '' then
      users[user] = true
    end
    ids[#ids + 1], ends[#ends + 1] = id, math.ceil(tonumber(rows[i + 1]))
    add(pages, path, 1)
    add(countries, country, 1)
  end
  add_places(places, shard, ids, ends)
  return {
    pages = pages, countries = countries, places = places, users = users,
    backlog = redis.call('ZCOUNT', shard.active, '-inf', now_text) - #ids,
  }
end

-- How many are counted under a name of `pages` or `places`, without those who have expired.
local function count_without(key, expired, name)
  return format((redis.call('ZSCORE', key, name) or 0) - (expired[name] or 0))
end
