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
