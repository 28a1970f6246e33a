-- A member of `active`: session id, country or --, user or empty, path.
local MEMBER = '^(%S+) (%S+) ([^ /]*) ?(/.*)$'
