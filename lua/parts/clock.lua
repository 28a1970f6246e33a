-- The only clock is the one of Redis, asked once; tests and replays may give their own.
local now
if ARGV[1] == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(ARGV[1])
end
local now_text = string.format('%.0f', now)
