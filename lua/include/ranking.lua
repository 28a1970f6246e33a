-- The `limit` highest of a sorted set, highest first, equal ones by name. ZREVRANGE alone gives
-- equal ones backwards, and the wrong ones of them at the end of the list.
local function highest(key, limit)
  local last = limit > 0 and redis.call('ZREVRANGE', key, limit - 1, limit - 1, 'WITHSCORES') or {}
  local floor = last[2] or (limit > 0 and redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  if not floor then
    return {}
  end
  local above = redis.call('ZREVRANGEBYSCORE', key, '+inf', '(' .. floor, 'WITHSCORES')
  local equal = redis.call('ZRANGEBYSCORE', key, floor, floor, 'WITHSCORES',
    'LIMIT', 0, limit - #above / 2)
  -- Within a run of equal scores the order is backwards still; each run is turned around.
  local ordered, run_end = {}, 1
  while run_end <= #above do
    local run_start = run_end
    while above[run_end + 3] == above[run_start + 1] do
      run_end = run_end + 2
    end
    for i = run_end, run_start, -2 do
      ordered[#ordered + 1] = above[i]
      ordered[#ordered + 1] = above[i + 1]
    end
    run_end = run_end + 2
  end
  for i = 1, #equal do
    ordered[#ordered + 1] = equal[i]
  end
  return ordered
end
