-- The keys of a site shard, in the one order in which every script is given them.
--
--    1 active          zset    "<id> <country or --> <path>" -> when the session expires, ms;
--                              of one whose user is known "<id> <country or --> <user> <path>"
--    2 pages           zset    path -> active sessions on it
--    3 countries       zset    country or -- -> active sessions
--    4 events          stream  joined, moved, left; identified (include/identity.lua); erased
--                              (erase_events.lua); carried_in, carried_out (include/carry.lua)
--    5 located         hash    id -> "<ms> <name>[<tab><name> …]": those ending from then on are
--                              counted by these names in places
--    6 places          zset    "<latitude> <longitude> <country or --> <city>", and of those who say
--                              how they came "<source, medium, campaign or device> <name>"
--                              -> active sessions
--    7 newcomers       hash    keyed hash of a client's address -> new sessions this minute
--    8 views           stream  page views
--    9 totals          hash    views, since
--   10 top             zset    path -> views
--   11 types           hash    path -> page type
--   12 top_order       zset    path -> where it stands in `top` (include/top.lua); once that is full
--   13 uniques         HLL     session ids ever
--   14 uniques of day  HLL     session ids of the day of ARGV[2]
--   15 minutes         hash    of the hour ARGV[2]: views:MM, peak:MM
--   16 hours           hash    of the day of ARGV[2]: views:HH, peak:HH
--
-- and of sites that know who somebody is three more (include/users.lua):
--
--   17 user_pages      zset    "<path><tab><user>" of users who are here, all of score 0
--   18 user_seen       zset    user who is not here any more -> when last seen, ms
--   19 users           hash    user -> "<seen><tab><told><tab><name><tab><avatar>", then for each
--                              session that is here "<tab><id> <since> <country or --> <path>"
local function open_shard(k, has_users) -- to be given where a name that follows is a client's choice
  local shard = {
    active = KEYS[k], pages = KEYS[k + 1], countries = KEYS[k + 2], events = KEYS[k + 3],
    located = KEYS[k + 4], places = KEYS[k + 5], newcomers = KEYS[k + 6], views = KEYS[k + 7],
    totals = KEYS[k + 8], top = KEYS[k + 9], types = KEYS[k + 10], top_order = KEYS[k + 11],
    uniques = KEYS[k + 12], uniques_of_day = KEYS[k + 13], minutes = KEYS[k + 14],
    hours = KEYS[k + 15], -- with a seventeenth the table would be twice as large
  }
  if has_users or has_users == nil and string.sub(KEYS[k + 18] or '', -6) == ':users' then
    shard.user_pages, shard.user_seen, shard.users = KEYS[k + 16], KEYS[k + 17], KEYS[k + 18]
  end
  return shard
end
