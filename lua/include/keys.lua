-- The keys of a site shard, in the one order in which every script is given them.
--
--    1 active          zset    "<id> <country or --> <path>" -> when the session expires, ms
--    2 pages           zset    path -> active sessions on it
--    3 countries       zset    country or -- -> active sessions
--    4 events          stream  joined, moved, left
--    5 located         hash    id -> "<ms> <place>": those ending from then on were at that place
--    6 places          zset    "<latitude> <longitude> <country or --> <city>" -> active sessions
--    7 newcomers       hash    keyed hash of a client's address -> new sessions this minute
--    8 views           stream  page views
--    9 totals          hash    views, since
--   10 top             zset    path -> views
--   11 types           hash    path -> page type
--   12 uniques         HLL     session ids ever
--   13 uniques of day  HLL     session ids of the day of ARGV[2]
--   14 minutes         hash    of the hour ARGV[2]: views:MM, peak:MM
--   15 hours           hash    of the day of ARGV[2]: views:HH, peak:HH
local function open_shard(k)
  return {
    active = KEYS[k], pages = KEYS[k + 1], countries = KEYS[k + 2], events = KEYS[k + 3],
    located = KEYS[k + 4], places = KEYS[k + 5], newcomers = KEYS[k + 6], views = KEYS[k + 7],
    totals = KEYS[k + 8], top = KEYS[k + 9], types = KEYS[k + 10], uniques = KEYS[k + 11],
    uniques_of_day = KEYS[k + 12], minutes = KEYS[k + 13], hours = KEYS[k + 14], first_key = k,
  }
end
