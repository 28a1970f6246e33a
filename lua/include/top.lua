-- Who has a row in `top`, by Metwally's Space-Saving: a newcomer takes the row of the path that
-- stands lowest, and stands above it as if those views were its own. `top` has none but its own; the
-- others' go to `__other__`. So no row says too much, and none lacks more than views / MAX_PATHS.
--
-- A score in `top_order` is where a path stood when it last came first there, and behind the point
-- what it took, taken / (taken + HALF): never one, and of equal ones the oldest goes. Beyond some 30
-- million `taken` is not exact, but the newcomer's is made of where the other stood, which is.
local LISTED, LOOKS, HALF = 10000, 1000, 1e7

-- Returns whether it found one: too many may have been viewed since they were looked at.
local function take_row(shard, newcomer, count, gone)
  for _ = 1, LOOKS do
    local path, stood = unpack(redis.call('ZRANGE', shard.top_order, 0, 0, 'WITHSCORES'))
    local own = path and redis.call('ZSCORE', shard.top, path)
    local taken = math.floor(HALF / (1 / ((stood or 0) % 1) - 1) + 0.5)
    if not path then
      local rows = redis.call('ZRANGE', shard.top, 0, LISTED, 'WITHSCORES')
      for i = 1, #rows, 2 do
        redis.call('ZADD', shard.top_order, rows[i + 1], rows[i])
      end
      redis.call('ZREM', shard.top_order, '__other__')
    elseif not own then -- a hand removed it
      redis.call('ZREM', shard.top_order, path)
    elseif own + taken > tonumber(stood) then
      redis.call('ZINCRBY', shard.top_order, own + taken - math.floor(stood), path)
    else
      redis.call('HDEL', shard.types, path)
      gone[path], gone[newcomer], taken = true, nil, math.floor(stood)
      redis.call('ZREM', shard.top_order, path)
      redis.call('ZREM', shard.top, path)
      redis.call('ZINCRBY', shard.top, own, '__other__')
      redis.call('ZADD', shard.top, count, newcomer)
      redis.call('ZADD', shard.top_order, count + taken + taken / (taken + HALF), newcomer)
      return true
    end
  end
end
