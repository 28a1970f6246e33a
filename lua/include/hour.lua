-- Keys named after an hour or a day come in pairs: for the hour the caller believes in and for the
-- next. A caller whose belief is older is told so before anything is written.
local HOUR_MS, DAY_MS = 3600000, 86400000
local later = math.floor(now / HOUR_MS) - tonumber(ARGV[2])
if later ~= 0 and later ~= 1 then
  return {now_text, 'stale'}
end
