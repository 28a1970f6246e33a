--[[
  Decides and writes a batch of heartbeats of one site shard, in one atomic step.

  KEYS[1]  active          zset    "<id> <country or --> <path>" -> when it expires, ms
  KEYS[2]  pages           zset    path -> active sessions on it
  KEYS[3]  countries       zset    country or -- -> active sessions
  KEYS[4]  events          stream  joined, moved, left
  KEYS[5]  located         hash    id -> "<latitude> <longitude> <country or --> <city>"
  KEYS[6]  places          zset    that text -> active sessions
  KEYS[7]  newcomers       hash    keyed hash of a client's address -> new sessions this minute
  KEYS[8]  views           stream  page views
  KEYS[9]  totals          hash    views, since
  KEYS[10] top             zset    path -> views
  KEYS[11] types           hash    path -> page type
  KEYS[12] uniques         HLL     session ids ever
  KEYS[13] uniques of day  HLL     of the day of ARGV[2]
  KEYS[14] uniques of day  HLL     of the day of ARGV[2] + 1
  KEYS[15] minutes         hash    of ARGV[2]: views:MM, peak:MM
  KEYS[16] minutes         hash    of ARGV[2] + 1
  KEYS[17] hours           hash    of the day of ARGV[2]: views:HH, peak:HH
  KEYS[18] hours           hash    of the day of ARGV[2] + 1
  then for each heartbeat
  KEYS[+1] session         hash    its last part is the session id
  KEYS[+2] viewed          string  the view marker of this session and path

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the keys are for, hours since the epoch
  ARGV[3]  dedup window, ms
  ARGV[4]  session timeout, ms
  ARGV[5]  view dedup window, ms; 0: heartbeats record no views
  ARGV[6]  site idle time, ms
  ARGV[7]  length of events, entries
  ARGV[8]  length of views, entries
  ARGV[9]  paths counted by name, paths
  ARGV[10] new sessions an address may open in a minute, sessions; 0: any number
  then for each heartbeat
  ARGV[+1] path
  ARGV[+2] country, two letters; empty: not known
  ARGV[+3] keyed hash of the client's address; empty: not limited
  ARGV[+4] JSON object of texts: type, referrer, city, latitude, longitude; empty: none

  Returns {now, word, outcome, outcome …}
    word     'stale': ARGV[2] is not this hour or the last, nothing was written;
             'opened': the site had nobody before, it must be entered into `due`; 'open': else
    outcome  'created' | 'moved' | 'refreshed' | 'duplicate'
             'limited'  the address has opened too many sessions, nothing was written
             'backlog'  sweep first: more expired sessions are waiting than one call may
                        remove, this one's earlier life may be among them; nothing was written
             'poisoned <key>' that key has a wrong type, nothing was written
]]
local active, pages, countries, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local located, places, newcomers = KEYS[5], KEYS[6], KEYS[7]
local views, totals, top, types = KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local uniques = KEYS[12]
local dedup_ms, timeout_ms, view_dedup_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local site_idle_ms = tonumber(ARGV[6])
local events_maxlen, views_maxlen = ARGV[7], ARGV[8]
local max_paths, new_sessions_limit = tonumber(ARGV[9]), tonumber(ARGV[10])
local SITE_KEYS, KEYS_EACH, SITE_ARGS, ARGS_EACH = 18, 2, 10, 4
local SWEEP_LIMIT = 200
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
local minute_of_hour = string.format('%02d', math.floor(now / 60000) % 60)
local hour_of_day = string.format('%02d', math.floor(now / HOUR_MS) % 24)
-- @end
local uniques_of_day, minutes, hours = KEYS[13 + later], KEYS[15 + later], KEYS[17 + later]
local expires = now + timeout_ms
local expires_text = string.format('%.0f', expires)
-- @include lives
-- Reads each key that the end of a life changes, so that a wrong type is raised before anything
-- is written.
local function check_lives()
  for _, zset in ipairs({pages, countries, places}) do
    redis.call('ZCARD', zset)
  end
  redis.call('HLEN', located)
  redis.call('XLEN', events)
end

local function lower(key, loss)
  for name, count in pairs(loss) do
    if tonumber(redis.call('ZINCRBY', key, -count, name)) <= 0 then
      redis.call('ZREM', key, name)
    end
  end
end

-- Ends the lives of members that were already taken out of `active`: counters down, one `left`
-- event each. `lives` is flat: member, score, member, score …; a score that ends in .5 is that of
-- a goodbye (leave.lua); `ended_at` and `reason` overrule what the score says.
local function end_lives(lives, ended_at, reason)
  local from_page, from_country, from_place = {}, {}, {}
  local any_located = redis.call('EXISTS', located) == 1
  for i = 1, #lives, 2 do
    local id, country, path = string.match(lives[i], '^(%S+) (%S+) (.*)$')
    local score = tonumber(lives[i + 1])
    local at = math.ceil(score)
    local why = reason or (at ~= score and 'leave' or 'timeout')
    from_page[path] = (from_page[path] or 0) + 1
    from_country[country] = (from_country[country] or 0) + 1
    local place = any_located and redis.call('HGET', located, id)
    if place then
      from_place[place] = (from_place[place] or 0) + 1
      redis.call('HDEL', located, id)
    end
    redis.call('XADD', events, 'MAXLEN', '~', events_maxlen, '*', 'type', 'left', 'session', id,
      'path', path, 'at', ended_at or string.format('%.0f', at), 'reason', why)
  end
  lower(pages, from_page)
  lower(countries, from_country)
  lower(places, from_place)
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
-- @include views
-- Page views, counted here and written out once at the end by write_view_counts().
local VIEWS_LIFE_MS = 400 * DAY_MS
local views_recorded = 0

-- Claims the window of one session and path. The marker expires by itself; its text is the
-- moment it does, so that a given `now_ms` is judged by the same clock as all else.
-- Raises nothing: a marker of a wrong type comes back as the error.
local function claim_view(marker)
  local until_text = string.format('%.0f', now + view_dedup_ms)
  if redis.call('SET', marker, until_text, 'NX', 'PXAT', until_text) then
    return true
  end
  local held_until = redis.pcall('GET', marker)
  if type(held_until) == 'table' then
    return held_until
  end
  local left_ms = tonumber(held_until or '0') - now
  -- Further ahead than a whole window: the clock was set back; such a marker holds nobody up.
  if left_ms > 0 and left_ms <= view_dedup_ms then
    return false
  end
  redis.call('SET', marker, until_text, 'PXAT', until_text)
  return true
end

local function record_view(id, path, page_type, referrer, country)
  local entry = {'session', id, 'path', path, 'at', now_text}
  local function add(field, value)
    if value then
      entry[#entry + 1] = field
      entry[#entry + 1] = value
    end
  end
  add('type', page_type)
  add('referrer', referrer)
  add('country', country)
  redis.call('XADD', views, 'MAXLEN', '~', views_maxlen, '*', unpack(entry))
  if not redis.call('ZADD', top, 'XX', 'INCR', 1, path) then
    -- A path not counted before: it gets a line of its own while there is room.
    local counted_as = redis.call('ZCARD', top) < max_paths and path or '__other__'
    redis.call('ZINCRBY', top, 1, counted_as)
    if counted_as ~= path then
      page_type = nil
    end
  end
  if page_type then
    redis.call('HSET', types, path, page_type)
  end
  views_recorded = views_recorded + 1
end

local function write_view_counts()
  if views_recorded == 0 then
    return
  end
  local count = string.format('%.0f', views_recorded)
  if redis.call('HINCRBY', totals, 'views', count) == views_recorded then
    redis.call('HSETNX', totals, 'since', now_text)
  end
  redis.call('HINCRBY', minutes, 'views:' .. minute_of_hour, count)
  redis.call('HINCRBY', hours, 'views:' .. hour_of_day, count)
  redis.call('PEXPIRE', minutes, 48 * HOUR_MS)
  redis.call('PEXPIRE', hours, 400 * DAY_MS)
  redis.call('PEXPIRE', views, VIEWS_LIFE_MS)
  redis.call('PEXPIRE', types, VIEWS_LIFE_MS)
end
-- @end
-- @include uniques
-- Adds nobody, which raises a wrong type. It is a write, harmless by itself, that Redis refuses
-- when it is out of memory.
local function check_uniques()
  redis.call('PFADD', uniques)
  if redis.call('PFADD', uniques_of_day) == 1 then
    redis.call('PEXPIRE', uniques_of_day, 400 * DAY_MS)
  end
end

-- Counts the session among the unique visitors of all time and of this UTC day.
local function count_unique(id)
  redis.call('PFADD', uniques, id)
  if redis.call('PFADD', uniques_of_day, id) == 1 and redis.call('PTTL', uniques_of_day) < 0 then
    redis.call('PEXPIRE', uniques_of_day, 400 * DAY_MS)
  end
end
-- @end
-- @include peak
-- Notes how many are active now, if that is the most this minute or this hour has seen.
local MINUTES_LIFE_MS, HOURS_LIFE_MS = 48 * HOUR_MS, 400 * DAY_MS
local function raise_to(key, field, count, life_ms)
  if count > tonumber(redis.call('HGET', key, field) or '0') then
    redis.call('HSET', key, field, string.format('%.0f', count))
    redis.call('PEXPIRE', key, life_ms)
  end
end

local function note_peak()
  local count = redis.call('ZCOUNT', active, '(' .. now_text, '+inf')
  raise_to(minutes, 'peak:' .. minute_of_hour, count, MINUTES_LIFE_MS)
  raise_to(hours, 'peak:' .. hour_of_day, count, HOURS_LIFE_MS)
end
-- @end

-- Looks at every index key once, so that a wrong type is raised before anything is written, and
-- a full Redis refuses before anything is half done.
local index_checked = false
local function check_index()
  if index_checked then
    return
  end
  index_checked = true
  check_lives()
  redis.call('ZCARD', top)
  for _, hash in ipairs({newcomers, totals, types, minutes, hours}) do
    redis.call('HLEN', hash)
  end
  redis.call('XLEN', views)
  check_uniques() -- the first write
end

local function append_event(kind, id, path, from, country)
  if from then
    redis.call('XADD', events, 'MAXLEN', '~', events_maxlen, '*', 'type', kind, 'session', id,
      'path', path, 'from', from, 'at', now_text, 'country', country)
  else
    redis.call('XADD', events, 'MAXLEN', '~', events_maxlen, '*', 'type', kind, 'session', id,
      'path', path, 'at', now_text, 'country', country)
  end
end

local created, wrote, swept, backlog, is_renewed = 0, false, false, false, false

-- Before a session can be born, the lives that are over must end in the log: one of them may be
-- its own. Returns the lives to remove, or nil when they are too many for this call.
local function lives_in_the_way()
  if swept then
    return {}
  end
  local lives = expired_lives(SWEEP_LIMIT)
  if #lives >= 2 * SWEEP_LIMIT then
    backlog = true
    return nil
  end
  return lives
end

local function create(session, marker, id, path, country, client, details, stale)
  if new_sessions_limit > 0 and client ~= '' then
    if tonumber(redis.call('HGET', newcomers, client) or '0') >= new_sessions_limit then
      return 'limited'
    end
  end
  if backlog then
    return 'backlog'
  end
  local over = lives_in_the_way()
  if not over then
    return 'backlog'
  end
  check_index()
  count_unique(id)
  local is_view = view_dedup_ms > 0 and claim_view(marker)
  if type(is_view) == 'table' then
    return 'poisoned ' .. marker
  end
  remove_lives(over)
  swept = true
  local country_text = country ~= '' and country or '--'
  local member = id .. ' ' .. country_text .. ' ' .. path
  -- An earlier life may be in `active` still: its hash outlived it (a changed timeout, a given
  -- now_ms), or went before it (evicted, or the clock was set back).
  local earlier = stale and id .. ' ' .. stale.country .. ' ' .. stale.path or member
  local score = redis.call('ZSCORE', active, earlier)
  if score then
    redis.call('ZREM', active, earlier)
    end_lives({earlier, score}, now_text)
  end
  if stale then
    redis.call('DEL', session)
  end
  local fields = {'path', path, 'seen', now_text, 'since', now_text}
  if country ~= '' then
    fields[#fields + 1] = 'country'
    fields[#fields + 1] = country
  end
  for _, field in ipairs({'type', 'city', 'latitude', 'longitude'}) do
    if details[field] then
      fields[#fields + 1] = field
      fields[#fields + 1] = details[field]
    end
  end
  redis.call('HSET', session, unpack(fields))
  redis.call('PEXPIREAT', session, expires_text)
  redis.call('ZADD', active, expires_text, member)
  redis.call('ZINCRBY', pages, 1, path)
  redis.call('ZINCRBY', countries, 1, country_text)
  if details.latitude and details.longitude then
    local place = details.latitude .. ' ' .. details.longitude .. ' ' .. country_text .. ' '
      .. (details.city or '')
    redis.call('HSET', located, id, place)
    redis.call('ZINCRBY', places, 1, place)
    -- The first located session of a site comes later than the site.
    is_renewed = is_renewed or redis.call('PTTL', located) < 0
  end
  append_event('joined', id, path, nil, country_text)
  if is_view then
    record_view(id, path, details.type, details.referrer, country ~= '' and country or nil)
  end
  if new_sessions_limit > 0 and client ~= '' then
    if redis.call('HINCRBY', newcomers, client, 1) == 1 and redis.call('PTTL', newcomers) < 0 then
      redis.call('PEXPIRE', newcomers, 60000)
    end
  end
  created = created + 1
  wrote = true
  return 'created'
end

local function move(session, marker, id, path, was, details)
  check_index()
  if math.floor(was.seen / DAY_MS) ~= math.floor(now / DAY_MS) then
    count_unique(id)
  end
  local is_view = view_dedup_ms > 0 and claim_view(marker)
  if type(is_view) == 'table' then
    return 'poisoned ' .. marker
  end
  redis.call('ZADD', active, expires_text, id .. ' ' .. was.country .. ' ' .. path)
  redis.call('ZREM', active, id .. ' ' .. was.country .. ' ' .. was.path)
  redis.call('HSET', session, 'path', path, 'seen', now_text)
  redis.call('PEXPIREAT', session, expires_text)
  if was.leaving then
    redis.call('HDEL', session, 'leaving')
  end
  if details.type then
    redis.call('HSET', session, 'type', details.type)
  else
    redis.call('HDEL', session, 'type')
  end
  redis.call('ZINCRBY', pages, 1, path)
  lower(pages, {[was.path] = 1})
  append_event('moved', id, path, was.path, was.country)
  if is_view then
    record_view(id, path, details.type, details.referrer, was.country ~= '--' and was.country or nil)
  end
  wrote = true
  return 'moved'
end

local function beat(session, marker, path, country, client, details_json)
  local known = redis.pcall('HMGET', session, 'path', 'seen', 'country', 'leaving')
  if known.err then
    return 'poisoned ' .. session
  end
  local was
  if known[1] and known[2] then
    local seen = tonumber(known[2])
    local age = now - seen
    local leaving = known[4] and tonumber(known[4])
    if path == known[1] and age >= 0 and age < dedup_ms and not leaving then
      return 'duplicate'
    end
    was = {path = known[1], seen = seen, country = known[3] or '--', leaving = leaving}
    was.alive = now < (leaving or seen + timeout_ms)
  end
  local id = string.match(session, '([^:]+)$')
  if was and was.alive then
    local member = id .. ' ' .. was.country .. ' ' .. was.path
    if path == was.path then
      if math.floor(was.seen / DAY_MS) ~= math.floor(now / DAY_MS) then
        count_unique(id)
      end
      if redis.call('ZADD', active, 'XX', 'CH', expires_text, member) == 1
        or redis.call('ZSCORE', active, member) then
        redis.call('HSET', session, 'seen', now_text)
        redis.call('PEXPIREAT', session, expires_text)
        if was.leaving then
          redis.call('HDEL', session, 'leaving')
        end
        wrote = true
        return 'refreshed'
      end
    elseif redis.call('ZSCORE', active, member) then
      return move(session, marker, id, path, was, details_json ~= '' and cjson.decode(details_json) or {})
    end
  end
  return create(session, marker, id, path, country, client,
    details_json ~= '' and cjson.decode(details_json) or {}, was)
end

local reply = {now_text, 'open'}
local argument = SITE_ARGS
for key = SITE_KEYS + 1, #KEYS, KEYS_EACH do
  reply[#reply + 1] = beat(KEYS[key], KEYS[key + 1], ARGV[argument + 1], ARGV[argument + 2],
    ARGV[argument + 3], ARGV[argument + 4])
  argument = argument + ARGS_EACH
end

if wrote then
  write_view_counts()
  if created > 0 then
    note_peak()
  end
  -- Index keys live as long as the site does; renewed at most once a minute.
  local left_ms = redis.call('PTTL', active)
  if is_renewed or left_ms < site_idle_ms - math.min(60000, site_idle_ms / 10) then
    for _, key in ipairs({active, pages, countries, events, located, places}) do
      redis.call('PEXPIRE', key, site_idle_ms)
    end
    if left_ms < 0 then
      reply[2] = 'opened'
    end
  end
end
return reply
