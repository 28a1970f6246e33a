-- The two parts of a row of `users`, and each session in the second.
local USER_ROW = '^(%d*)\t(%d*)\t([^\t]*)\t([^\t]*)(.*)$'
local USER_SESSION = '\t((%S+) (%d+) (%S+) ([^\t]*))'
