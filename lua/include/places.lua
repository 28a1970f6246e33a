-- The place in a value of `located`, if the life that ends at `ends`, ms, was there. A session may
-- return before its old member is swept; what stands there then is the place of its new life.
local function place_of(held, ends)
  if not held then
    return nil
  end
  local from_ms, place = string.match(held, '^(%d+) (.*)$')
  if from_ms and ends < tonumber(from_ms) then
    return nil
  end
  return place or held -- a value of 0.1.0 has no moment
end

-- Adds up where these sessions are that end at `ends`, ms: a session once, though it may be among
-- them with its old member and its new one.
local function add_places(places, shard, ids, ends)
  local CHUNK, is_counted = 500, {}
  for first = 1, #ids, CHUNK do
    local last = math.min(first + CHUNK - 1, #ids)
    for n, held in ipairs(redis.call('HMGET', shard.located, unpack(ids, first, last))) do
      local id = ids[first + n - 1]
      local place = not is_counted[id] and place_of(held, ends[first + n - 1])
      if place then
        is_counted[id] = true
        add(places, place, 1)
      end
    end
  end
end
