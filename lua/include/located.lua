-- Forgets where a session was that ends at `ends`, ms, and returns that place.
local function take_place(shard, id, ends)
  local place = place_of(redis.call('HGET', shard.located, id), ends)
  if place then
    redis.call('HDEL', shard.located, id)
  end
  return place
end

-- Notes where a session is that begins now, if that is known.
local function add_place(shard, beat)
  local details, from_ms = beat.details, now
  if not (details.latitude and details.longitude) then
    return
  end
  local place = details.latitude .. ' ' .. details.longitude .. ' ' .. beat.country .. ' '
    .. (details.city or '')
  local earlier = take_place(shard, beat.id, math.huge)
  if earlier then -- of a life whose member is not swept yet, which ends by now at the latest
    write_counts(shard.places, {[earlier] = -1})
    from_ms = now + 1
  end
  redis.call('HSET', shard.located, beat.id, format(from_ms) .. ' ' .. place)
  redis.call('ZINCRBY', shard.places, 1, place)
  if redis.call('PTTL', shard.places) < 0 then -- it comes later than the rest of the index
    redis.call('PEXPIRE', shard.located, site_idle_ms)
    redis.call('PEXPIRE', shard.places, site_idle_ms)
  end
end
