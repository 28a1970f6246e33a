-- Notes how many are active now, if that is the most this minute or this hour has seen.
local MINUTES_LIFE_MS, HOURS_LIFE_MS = 48 * HOUR_MS, 400 * DAY_MS
local function raise_to(key, field, count, life_ms)
  local highest = redis.call('HGET', key, field)
  if count > tonumber(highest or '0') then
    redis.call('HSET', key, field, string.format('%.0f', count))
    if not highest then
      redis.call('PEXPIRE', key, life_ms)
    end
  end
end

local function note_peak()
  local count = redis.call('ZCOUNT', active, '(' .. now_text, '+inf')
  raise_to(minutes, 'peak:' .. minute_of_hour, count, MINUTES_LIFE_MS)
  raise_to(hours, 'peak:' .. hour_of_day, count, HOURS_LIFE_MS)
end
