--[[
  Records an explicit page view: once per session and path within the dedup window.

  KEYS[1]  views           stream  page views
  KEYS[2]  totals          hash    views, since
  KEYS[3]  top             zset    path -> views
  KEYS[4]  types           hash    path -> page type
  KEYS[5]  uniques         HLL     session ids ever
  KEYS[6]  uniques of day  HLL     of the day of ARGV[2]
  KEYS[7]  uniques of day  HLL     of the day of ARGV[2] + 1
  KEYS[8]  minutes         hash    of ARGV[2]: views:MM, peak:MM
  KEYS[9]  minutes         hash    of ARGV[2] + 1
  KEYS[10] hours           hash    of the day of ARGV[2]: views:HH, peak:HH
  KEYS[11] hours           hash    of the day of ARGV[2] + 1
  KEYS[12] session         hash    its last part is the session id
  KEYS[13] viewed          string  the view marker of this session and path
  KEYS[14] newcomers       hash    keyed hash of a client's address -> new sessions this minute

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the keys are for, hours since the epoch
  ARGV[3]  view dedup window, ms
  ARGV[4]  length of views, entries
  ARGV[5]  paths counted by name, paths
  ARGV[6]  path
  ARGV[7]  page type; empty: not given
  ARGV[8]  referrer, a host; empty: not given
  ARGV[9]  new sessions an address may open in a minute, sessions; 0: any number
  ARGV[10] keyed hash of the client's address; empty: not limited

  Returns {now, word, outcome}
    word     'stale': ARGV[2] is not this hour or the last, nothing was written;
             'opened': the first view of the site; 'open': else
    outcome  'recorded' | 'duplicate'
             'limited'  the address has brought too many sessions that are not here, nothing
                        was written
]]
local views, totals, top, types, uniques = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session, marker, newcomers = KEYS[12], KEYS[13], KEYS[14]
local view_dedup_ms, views_maxlen, max_paths = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local path, page_type, referrer = ARGV[6], ARGV[7], ARGV[8]
local new_sessions_limit, client = tonumber(ARGV[9]), ARGV[10]
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
-- @include series
-- The fields of this minute in the hash of the hour, and of this hour in that of the day.
local minute_of_hour = string.format('%02d', math.floor(now / 60000) % 60)
local hour_of_day = string.format('%02d', math.floor(now / HOUR_MS) % 24)
-- @end
local uniques_of_day, minutes, hours = KEYS[6 + later], KEYS[8 + later], KEYS[10 + later]
-- @include views
-- Page views: each is appended at once, and all are counted at the end by write_view_counts(),
-- which leaves these empty.
local VIEWS_LIFE_MS = 400 * DAY_MS
local window_end_text = string.format('%.0f', now + view_dedup_ms)
local views_recorded, viewed_paths, views_of, type_of = 0, {}, {}, {}

-- Claims the window of one session and path. The marker expires by itself; its text is the
-- moment it does, so that a given `now_ms` is judged by the same clock as all else.
-- Raises nothing: a marker of a wrong type comes back as the error.
local function claim_view(marker)
  if redis.call('SET', marker, window_end_text, 'NX', 'PXAT', window_end_text) then
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
  redis.call('SET', marker, window_end_text, 'PXAT', window_end_text)
  return true
end

-- Whether many are written: then heartbeat.lua trims the streams once, at the end.
local are_many = false
local function append(stream, maxlen, ...)
  if are_many then
    redis.call('XADD', stream, '*', ...)
  else
    redis.call('XADD', stream, 'MAXLEN', '~', maxlen, '*', ...)
  end
end

local function record_view(id, path, page_type, referrer, country)
  if page_type or referrer then
    local more = {}
    for _, pair in ipairs({{'type', page_type}, {'referrer', referrer}, {'country', country}}) do
      if pair[2] then
        more[#more + 1] = pair[1]
        more[#more + 1] = pair[2]
      end
    end
    append(views, views_maxlen, 'session', id, 'path', path, 'at', now_text, unpack(more))
  elseif country then
    append(views, views_maxlen, 'session', id, 'path', path, 'at', now_text, 'country', country)
  else
    append(views, views_maxlen, 'session', id, 'path', path, 'at', now_text)
  end
  if not views_of[path] then
    viewed_paths[#viewed_paths + 1] = path
  end
  views_of[path] = (views_of[path] or 0) + 1
  type_of[path] = page_type or type_of[path]
  views_recorded = views_recorded + 1
end

-- Adds the views to the counts of their paths. Those that have one are, where they are many,
-- read at once and written at once.
local function write_top()
  if are_many then
    local lines = {}
    for i, count in ipairs(redis.call('ZMSCORE', top, unpack(viewed_paths))) do
      local path = viewed_paths[i]
      if count then
        lines[#lines + 1] = count + views_of[path]
        lines[#lines + 1] = path
        views_of[path] = nil
      end
    end
    if #lines > 0 then
      redis.call('ZADD', top, unpack(lines))
    end
  end
  for i, path in ipairs(viewed_paths) do
    local count = views_of[path]
    if count and not redis.call('ZADD', top, 'XX', 'INCR', count, path) then
      -- A path not counted before: it gets a line of its own while there is room.
      local counted_as = redis.call('ZCARD', top) < max_paths and path or '__other__'
      redis.call('ZINCRBY', top, count, counted_as)
      if counted_as ~= path then
        type_of[path] = nil
      end
    end
    viewed_paths[i], views_of[path] = nil, nil
  end
end

local function write_view_counts()
  if views_recorded == 0 then
    return
  end
  write_top()
  for path, page_type in pairs(type_of) do
    if redis.call('HSET', types, path, page_type) == 1 then
      redis.call('PEXPIRE', types, VIEWS_LIFE_MS)
    end
    type_of[path] = nil
  end
  local count = views_recorded
  views_recorded = 0
  if redis.call('HINCRBY', totals, 'views', count) == count then
    redis.call('HSETNX', totals, 'since', now_text)
  end
  redis.call('HINCRBY', hours, 'views:' .. hour_of_day, count)
  -- The first views of a minute renew what the others need not.
  if redis.call('HINCRBY', minutes, 'views:' .. minute_of_hour, count) == count then
    redis.call('PEXPIRE', minutes, 48 * HOUR_MS)
    redis.call('PEXPIRE', hours, 400 * DAY_MS)
    redis.call('PEXPIRE', views, VIEWS_LIFE_MS)
    redis.call('PEXPIRE', types, VIEWS_LIFE_MS)
  end
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

-- Counts sessions among the unique visitors of all time and of this UTC day.
local function count_uniques(ids)
  if #ids == 0 then
    return
  end
  redis.call('PFADD', uniques, unpack(ids))
  if redis.call('PFADD', uniques_of_day, unpack(ids)) == 1
    and redis.call('PTTL', uniques_of_day) < 0 then
    redis.call('PEXPIRE', uniques_of_day, 400 * DAY_MS)
  end
end
-- @end

-- Each key of the site is read once, so that a wrong type is raised before anything is written.
redis.call('XLEN', views)
redis.call('ZCARD', top)
for _, hash in ipairs({totals, types, minutes, hours, newcomers}) do
  redis.call('HLEN', hash)
end
local country = redis.call('HGET', session, 'country') or nil
local is_limited = new_sessions_limit > 0 and client ~= '' and redis.call('EXISTS', session) == 0
if is_limited and tonumber(redis.call('HGET', newcomers, client) or '0') >= new_sessions_limit then
  return {now_text, 'open', 'limited'}
end
check_uniques() -- the first write
local id = string.match(session, '([^:]+)$')
count_uniques({id})
local is_view = claim_view(marker)
if type(is_view) == 'table' then
  return redis.error_reply(is_view.err)
end
if not is_view then
  return {now_text, 'open', 'duplicate'}
end
local is_first = redis.call('EXISTS', totals) == 0
record_view(id, path, page_type ~= '' and page_type or nil,
  referrer ~= '' and referrer or nil, country)
write_view_counts()
if is_limited and redis.call('HINCRBY', newcomers, client, 1) == 1
  and redis.call('PTTL', newcomers) < 0 then
  redis.call('PEXPIRE', newcomers, 60000)
end
return {now_text, is_first and 'opened' or 'open', 'recorded'}
