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
