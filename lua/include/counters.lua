-- @include tally
-- Writes what was added up: one by one what a lone move changes, more of it in one read and one
-- write. A counter that comes to nothing is removed; returns whether one did.
local function write_counts(key, counts)
  local names, has_fallen = {nil, nil}, false
  for name, by in pairs(counts) do
    has_fallen = has_fallen or by == 0 -- it may have come to nothing and back
    if by ~= 0 then
      names[#names + 1] = name
    end
  end
  if #names <= 2 then
    for _, name in ipairs(names) do
      if tonumber(redis.call('ZINCRBY', key, counts[name], name)) <= 0 then
        has_fallen = redis.call('ZREM', key, name) == 1
      end
    end
    return has_fallen
  end
  local written = {}
  for i, before in ipairs(redis.call('ZMSCORE', key, unpack(names))) do
    local count = (before or 0) + counts[names[i]]
    written[2 * i - 1], written[2 * i] = count, names[i]
    has_fallen = has_fallen or count <= 0
  end
  redis.call('ZADD', key, unpack(written))
  if has_fallen then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', 0)
  end
  return has_fallen
end

-- Forgets where a session was, and how it came, that ends at `ends`, ms.
local function take_noted(shard, counts, id, ends)
  local names = noted_of(redis.call('HGET', shard.located, id), ends)
  if names then
    redis.call('HDEL', shard.located, id)
    add_noted(counts, names, -1)
  end
  return names
end

-- Notes where a session is that begins now, and how it came: what is known of it. `sources` are
-- "<kind> <name>", a tab between them. A day has names for its first 200 of a kind.
local function note(changes, beat)
  local details, day = beat.details, changes.day
  local has_place, sources = details.latitude and details.longitude, day and details.sources
  if not (has_place or sources) then
    return
  end
  local shard, names, counts = changes.shard, {}, {}
  if has_place then
    names[1] = details.latitude .. ' ' .. details.longitude .. ' ' .. beat.country .. ' '
      .. (details.city or '')
  end
  for source, kind in string.gmatch(sources or '', '((%l+) [^\t]+)') do
    local has_name = redis.call('HEXISTS', day, source) == 1
      or redis.call('HINCRBY', day, kind, 1) <= 200
    source = has_name and source or kind .. ' __other__'
    if redis.call('HINCRBY', day, source, 1) == 1 then
      redis.call('PEXPIRE', day, 400 * DAY_MS)
    end
    names[#names + 1] = source
  end
  local text = table.concat(names, '\t')
  -- An earlier life whose member is not swept yet ends by now at the latest.
  local from_ms = take_noted(shard, counts, beat.id, math.huge) and now + 1 or now
  redis.call('HSET', shard.located, beat.id, format(from_ms) .. ' ' .. text)
  add_noted(counts, text, 1)
  write_counts(shard.places, counts)
  if redis.call('PTTL', shard.located) < 0 then -- it comes later than the rest of the index, or anew
    redis.call('PEXPIRE', shard.located, site_idle_ms)
    redis.call('PEXPIRE', shard.places, site_idle_ms)
  end
end
