-- Writes what was added up: one by one what a lone move changes, more of it in one read and one
-- write. A counter that comes to nothing is removed; returns whether one did.
local function write_counts(key, counts)
  local names, has_fallen = {}, false
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
