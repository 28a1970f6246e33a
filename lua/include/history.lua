-- The field of this minute in the hash of the hour, and of this hour in that of the day.
local minute_of_hour = string.format('%02d', math.floor(now / 60000) % 60)
local hour_of_day = string.format('%02d', math.floor(now / HOUR_MS) % 24)

local function raise_to(key, field, count, life_ms)
  local highest = redis.call('HGET', key, field)
  if count <= tonumber(highest or '0') then
    return false
  end
  redis.call('HSET', key, field, format(count))
  if not highest then
    redis.call('PEXPIRE', key, life_ms)
  end
  return true
end

-- Notes how many are active now, if that is the most this minute or this hour has seen.
local function note_peak(shard)
  local count = redis.call('ZCOUNT', shard.active, '(' .. now_text, '+inf')
  if raise_to(shard.minutes, 'peak:' .. minute_of_hour, count, 48 * HOUR_MS) then
    raise_to(shard.hours, 'peak:' .. hour_of_day, count, 400 * DAY_MS)
  end
end
