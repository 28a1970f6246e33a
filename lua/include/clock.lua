local redis, KEYS, ARGV = redis, KEYS, ARGV -- a local is found sooner than a global
-- The only clock is Redis's, asked once. Tests and replays may give their own.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function format(ms)
  return string.format('%.0f', ms)
end
local now_text = format(now)
