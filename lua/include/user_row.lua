-- A row of `users`, and each session at its end. Rows live for 30 days after the last change.
local USER_ROW = '^(%d*)\t(%d*)\t([^\t]*)\t([^\t]*)(.*)$'
local USER_SESSION = '\t((%S+) (%d+) (%S+) ([^\t]*))'
local USERS_LIFE_MS = 30 * DAY_MS

local function sessions_in(row)
  return string.match(row, '^[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*(.*)$') or ''
end
