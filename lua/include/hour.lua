-- @include clock
-- Some keys are named after an hour or a day. A caller who believes in another hour than Redis's
-- clock is told so before anything is read or written, and calls again.
local HOUR_MS, DAY_MS = 3600000, 86400000
if math.floor(now / HOUR_MS) ~= tonumber(ARGV[2]) then
  return {now_text, 'stale'}
end
