-- Writes what was added up, once. A counter that comes to nothing is removed.
local function write_counts(key, counts)
  local has_fallen = false
  for name, by in pairs(counts) do
    if by ~= 0 then
      redis.call('ZINCRBY', key, by, name)
      has_fallen = has_fallen or by < 0
    end
  end
  if has_fallen then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', 0)
  end
end
