-- The fields of this minute in the hash of the hour, and of this hour in that of the day.
local minute_of_hour = string.format('%02d', math.floor(now / 60000) % 60)
local hour_of_day = string.format('%02d', math.floor(now / HOUR_MS) % 24)
