--[[
  What readers ask of a site: who is active where, and the totals, all of one moment.

  `active` is counted by score, so it is exact whether or not anybody has swept. The counters of
  pages, countries and places are exact when nobody is left to sweep, so a bounded number is
  swept first, and how many are left is told. No key of a single session is touched.

  KEYS[1]  active          zset    "<id> <country or --> <path>" -> when it expires, ms
  KEYS[2]  pages           zset    path -> active sessions on it
  KEYS[3]  countries       zset    country or -- -> active sessions
  KEYS[4]  events          stream  joined, moved, left
  KEYS[5]  located         hash    id -> "<latitude> <longitude> <country or --> <city>"
  KEYS[6]  places          zset    that text -> active sessions
  KEYS[7]  totals          hash    views, since
  KEYS[8]  top             zset    path -> views
  KEYS[9]  types           hash    path -> page type
  KEYS[10] uniques         HLL     session ids ever
  KEYS[11] uniques of day  HLL     of the day of ARGV[2]
  KEYS[12] uniques of day  HLL     of the day of ARGV[2] + 1

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the keys are for, hours since the epoch
  ARGV[3]  length of events, entries
  ARGV[4]  sessions to sweep at the most, sessions
  ARGV[5]  active pages to return at the most, pages
  ARGV[6]  top pages to return at the most, pages; -1: all, for whoever merges shards
  ARGV[7]  places to return at the most, places

  Returns {now, word, active, backlog, pages, countries, places, views, since, uniques,
           uniques of the day, top, paths, event}
    word       'stale': ARGV[2] is not this hour or the last; 'fresh': else
    active     active sessions
    backlog    expired sessions still waiting to be swept
    pages      {path, count, …}, most first, equal ones by path
    countries  {country or --, count, …}, likewise, all of them
    places     {"<latitude> <longitude> <country or --> <city>", count, …}, likewise
    views      page views ever
    since      when the first was, ms; empty: there was none
    uniques    distinct session ids ever
    top        {path, views, page type or '', …}, likewise; all of them: {path, views, …}, in no
               order of use
    paths      paths counted by name
    event      id of the last entry in events; '0-0': there is none
]]
local active, pages, countries, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local located, places, totals, top = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local types, uniques = KEYS[9], KEYS[10]
local events_maxlen, sweep_limit = ARGV[3], tonumber(ARGV[4])
local pages_limit, top_limit, places_limit = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
-- @include clock
-- The only clock is the one of Redis, asked once; tests and replays may give their own.
local now
if ARGV[1] == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(ARGV[1])
end
local now_text = string.format('%.0f', now)
-- @end
-- @include hour
-- Keys named after an hour or a day come in pairs: for the hour the caller believes in and for
-- the next. A caller whose belief is older than that is told so before anything is written.
local HOUR_MS, DAY_MS = 3600000, 86400000
local later = math.floor(now / HOUR_MS) - tonumber(ARGV[2])
if later ~= 0 and later ~= 1 then
  return {now_text, 'stale'}
end
-- @end
local uniques_of_day = KEYS[11 + later]
-- @include lives
-- Reads each key that the end of a life changes, so that a wrong type is raised before anything
-- is written.
local function check_lives()
  redis.call('ZCARD', pages)
  redis.call('ZCARD', countries)
  redis.call('ZCARD', places)
  redis.call('HLEN', located)
  redis.call('XLEN', events)
end

-- Adds to counters, name -> number, and drops those that come to nothing. More than a move changes
-- are read at once and written at once.
local function change(key, changes)
  local names, kept, gone = {}, {}, {}
  for name, by in pairs(changes) do
    if by ~= 0 then
      names[#names + 1] = name
    end
  end
  if #names <= 2 then
    for _, name in ipairs(names) do
      if tonumber(redis.call('ZINCRBY', key, changes[name], name)) <= 0 then
        redis.call('ZREM', key, name)
      end
    end
    return
  end
  for i, before in ipairs(redis.call('ZMSCORE', key, unpack(names))) do
    local count = (before or 0) + changes[names[i]]
    if count > 0 then
      kept[#kept + 1] = count
      kept[#kept + 1] = names[i]
    else
      gone[#gone + 1] = names[i]
    end
  end
  if #kept > 0 then
    redis.call('ZADD', key, unpack(kept))
  end
  if #gone > 0 then
    redis.call('ZREM', key, unpack(gone))
  end
end

-- Ends the lives of members that were already taken out of `active`: counters down, one `left`
-- event each. `lives` is flat: member, score, member, score …; a score that ends in .5 is that of
-- a goodbye (leave.lua); `ended_at` and `reason` overrule what the score says.
local function end_lives(lives, ended_at, reason)
  local from_page, from_country, from_place = {}, {}, {}
  local any_located = redis.call('EXISTS', located) == 1
  -- Many are appended as they are, and trimmed once.
  local is_alone = #lives == 2
  local score_before, at_text, why
  for i = 1, #lives, 2 do
    local member, score = lives[i], lives[i + 1]
    local space = string.find(member, ' ', 1, true)
    local id, country = string.sub(member, 1, space - 1), string.sub(member, space + 1, space + 2)
    local path = string.sub(member, space + 4)
    if score ~= score_before then
      score_before = score
      local at = math.ceil(tonumber(score))
      at_text = ended_at or string.format('%.0f', at)
      why = reason or (at ~= tonumber(score) and 'leave' or 'timeout')
    end
    from_page[path] = (from_page[path] or 0) - 1
    from_country[country] = (from_country[country] or 0) - 1
    local place = any_located and redis.call('HGET', located, id)
    if place then
      from_place[place] = (from_place[place] or 0) - 1
      redis.call('HDEL', located, id)
    end
    if is_alone then
      redis.call('XADD', events, 'MAXLEN', '~', events_maxlen, '*', 'type', 'left', 'session', id,
        'path', path, 'at', at_text, 'reason', why, 'country', country)
    else
      redis.call('XADD', events, '*', 'type', 'left', 'session', id, 'path', path, 'at', at_text,
        'reason', why, 'country', country)
    end
  end
  if not is_alone then
    redis.call('XTRIM', events, 'MAXLEN', '~', events_maxlen)
  end
  change(pages, from_page)
  change(countries, from_country)
  change(places, from_place)
end

-- Members whose time has come, oldest first.
local function expired_lives(limit)
  return redis.call('ZRANGEBYSCORE', active, '-inf', now_text, 'WITHSCORES', 'LIMIT', 0, limit)
end

-- They hold the lowest ranks, so one call takes them all out. It is also a first write that
-- Redis allows when it is out of memory: sweeping is what makes room.
local function remove_lives(lives)
  if #lives > 0 then
    check_lives()
    redis.call('ZREMRANGEBYRANK', active, 0, #lives / 2 - 1)
    end_lives(lives)
  end
end
-- @end

-- The `limit` highest, equal ones by name: ZREVRANGE alone would give equal ones backwards, and
-- the wrong ones of them at the end of the list.
local function highest(key, limit)
  if limit <= 0 then
    return {}
  end
  local last = redis.call('ZREVRANGE', key, limit - 1, limit - 1, 'WITHSCORES')
  local floor_score = last[2]
  if not floor_score then
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if not first[2] then
      return {}
    end
    floor_score = first[2]
  end
  local flat = redis.call('ZREVRANGEBYSCORE', key, '+inf', '(' .. floor_score, 'WITHSCORES')
  local rest = redis.call('ZRANGEBYSCORE', key, floor_score, floor_score, 'WITHSCORES',
    'LIMIT', 0, limit - #flat / 2)
  -- Within a run of equal scores the order is backwards still; turn each run around.
  local ordered, run_end = {}, 1
  while run_end <= #flat do
    local run_start = run_end
    while flat[run_end + 3] == flat[run_start + 1] do
      run_end = run_end + 2
    end
    for i = run_end, run_start, -2 do
      ordered[#ordered + 1] = flat[i]
      ordered[#ordered + 1] = flat[i + 1]
    end
    run_end = run_end + 2
  end
  for i = 1, #rest do
    ordered[#ordered + 1] = rest[i]
  end
  return ordered
end

remove_lives(expired_lives(sweep_limit))
local top_pages = {}
if top_limit < 0 then
  top_pages = redis.call('ZRANGE', top, 0, -1, 'WITHSCORES')
else
  local ranked = highest(top, top_limit)
  for i = 1, #ranked, 2 do
    top_pages[#top_pages + 1] = ranked[i]
    top_pages[#top_pages + 1] = ranked[i + 1]
    top_pages[#top_pages + 1] = redis.call('HGET', types, ranked[i]) or ''
  end
end
local counted = redis.call('HMGET', totals, 'views', 'since')
local paths = redis.call('ZCARD', top)
if redis.call('ZSCORE', top, '__other__') then
  paths = paths - 1
end
local last_event = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)
return {
  now_text,
  'fresh',
  string.format('%.0f', redis.call('ZCOUNT', active, '(' .. now_text, '+inf')),
  string.format('%.0f', redis.call('ZCOUNT', active, '-inf', now_text)),
  highest(pages, pages_limit),
  highest(countries, 1000),
  highest(places, places_limit),
  counted[1] or '0',
  counted[2] or '',
  string.format('%.0f', redis.call('PFCOUNT', uniques)),
  string.format('%.0f', redis.call('PFCOUNT', uniques_of_day)),
  top_pages,
  string.format('%.0f', paths),
  last_event[1] and last_event[1][1] or '0-0',
}
