--[[
  What readers ask of a site: who is active where, and the totals, all of one moment. `active` is
  counted by score. Counters have expired sessions until they are swept; `expired…` says how many
  of which name, to be taken off (include/unswept.lua). No key of a single session is read.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  active pages to return at most, pages
  ARGV[4]  top pages to return at most, pages; -1: all, for whoever merges shards
  ARGV[5]  places to return at most, places

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'fresh', active, backlog, pages, countries,
           places, expiredPages, expiredCountries, expiredPlaces, views, since, top, paths, event};
           where there are 19 keys, users at the end
    active     active sessions
    backlog    expired sessions beyond those that are taken off
    pages      {path, count, …}, most first, equal ones by path; as many more than asked for as
               there are expired ones
    countries  {country or --, count, …}, likewise
    places     {"<latitude> <longitude> <country or --> <city>", count, …}, likewise; among them, so
               that there are more, all {"<source, medium, campaign or device> <name>", count, …}
    expired…   {name, count, …}, in no order
    views      page views ever
    since      when the first was, ms; empty: there was none
    top        {path, views, page type or '', …}, likewise; all of them: {path, views, …}, in no
               order of use
    paths      paths counted by name
    event      id of the last entry in events; '0-0': there is none
    users      users who are here
]]
-- @include hour
-- @include keys
-- @include unswept
-- @include ranking
local COUNTRIES_LIMIT = 1000 -- more than there are
local SOURCES_LIMIT = 2000 -- more than two days have names for
local pages_limit, top_limit, places_limit = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local shard = open_shard(1)

local function flat(counts)
  local list = {}
  for name, count in pairs(counts) do
    list[#list + 1] = name
    list[#list + 1] = format(count)
  end
  return list
end

local function top_pages()
  if top_limit < 0 then
    return redis.call('ZRANGE', shard.top, 0, -1, 'WITHSCORES')
  end
  local rows, ranked = {}, highest(shard.top, top_limit)
  for i = 1, #ranked, 2 do
    rows[#rows + 1] = ranked[i]
    rows[#rows + 1] = ranked[i + 1]
    rows[#rows + 1] = redis.call('HGET', shard.types, ranked[i]) or ''
  end
  return rows
end

-- Among the places are the names of sources. Each session that says how it came has a device.
local function highest_places(limit)
  local rows = highest(shard.places, limit)
  local known = rows[1] and redis.call('ZMSCORE', shard.places, 'device desktop', 'device phone',
    'device tablet', 'device --') or {}
  local has_sources = known[1] or known[2] or known[3] or known[4]
  return has_sources and highest(shard.places, limit + SOURCES_LIMIT) or rows
end

local unswept = unswept_of(shard)
local pages, countries, places = flat(unswept.pages), flat(unswept.countries), flat(unswept.places)
local totals = redis.call('HMGET', shard.totals, 'views', 'since')
local others = redis.call('ZSCORE', shard.top, '__other__') and 1 or 0
local last_event = redis.call('XREVRANGE', shard.events, '+', '-', 'COUNT', 1)[1]
local reply = {
  now_text, 'fresh',
  format(redis.call('ZCOUNT', shard.active, '(' .. now_text, '+inf')),
  format(unswept.backlog),
  highest(shard.pages, pages_limit + #pages / 2),
  highest(shard.countries, COUNTRIES_LIMIT),
  highest_places(places_limit + #places / 2),
  pages, countries, places,
  totals[1] or '0',
  totals[2] or '',
  top_pages(),
  format(redis.call('ZCARD', shard.top) - others),
  last_event and last_event[1] or '0-0',
}
if shard.users then
-- @include user_row
-- @include user_scores
  reply[#reply + 1] = count_users(shard)
end
return reply
