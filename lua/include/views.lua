-- Page views: noted one by one, appended and counted once a call.
local view_dedup_ms, views_maxlen, max_paths = tonumber(ARGV[5]), ARGV[8], tonumber(ARGV[9])
local VIEWS_LIFE_MS, window_end = 400 * DAY_MS, format(now + view_dedup_ms)

-- Claims the window of one session and path. The marker's value is the moment it expires, so that
-- a given `now` is judged by the same clock as all else.
local function claim_view(marker)
  if view_dedup_ms == 0 then
    return false
  elseif redis.call('SET', marker, window_end, 'NX', 'PXAT', window_end) then
    return true
  end
  local left_ms = tonumber(redis.call('GET', marker) or '0') - now
  -- Further ahead than a whole window: the clock was set back, and nobody may wait for it.
  if left_ms > 0 and left_ms <= view_dedup_ms then
    return false
  end
  redis.call('SET', marker, window_end, 'PXAT', window_end)
  return true
end

local function new_views()
  return {entries = {nil, nil}, paths = {nil, nil}, of = {}, types = {}}
end

local function add_field(fields, name, value)
  if value and value ~= '' then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end

local function note_view(views, id, path, country, details)
  local fields = {'session', id, 'path', path, 'at', now_text, nil, nil, nil, nil, nil, nil} -- room
  add_field(fields, 'type', details.type)
  add_field(fields, 'referrer', details.referrer)
  add_field(fields, 'country', country ~= '--' and country)
  views.entries[#views.entries + 1] = fields
  if not views.of[path] then
    views.paths[#views.paths + 1] = path
  end
  add(views.of, path, 1)
  views.types[path] = details.type or views.types[path]
end

-- What counts every view comes first, so that another key's wrong type leaves them in agreement.
local function write_views(shard, views)
  local total, gone = #views.entries, {}
  if total == 0 then
    return
  end
  for _, fields in ipairs(views.entries) do
    redis.call('XADD', shard.views, 'MAXLEN', '~', views_maxlen, '*', unpack(fields))
  end
  if redis.call('HINCRBY', shard.totals, 'views', total) == total then
    redis.call('HSETNX', shard.totals, 'since', now_text)
  end
  local room = max_paths - redis.call('ZCARD', shard.top) -- for rows of paths not counted before
  room = room == 0 and redis.call('ZSCORE', shard.top, '__other__') and 1 or room
  for _, path in ipairs(views.paths) do
    local count = views.of[path]
    if room > 0 then
      if tonumber(redis.call('ZINCRBY', shard.top, count, path)) == count then
        room = room - 1
        redis.call('DEL', shard.top_order) -- it lists every row, or none
      end
    elseif not redis.call('ZADD', shard.top, 'XX', 'INCR', count, path) then
      local is_safe, is_taken = pcall(take_row, shard, path, count, gone)
      if not (is_safe and is_taken) then
        redis.call('ZINCRBY', shard.top, count, '__other__')
        gone[path] = true
      end
    end
  end
  for path, page_type in pairs(views.types) do
    if not gone[path] and redis.call('HSET', shard.types, path, page_type) == 1 then
      redis.call('PEXPIRE', shard.types, VIEWS_LIFE_MS)
    end
  end
  redis.call('HINCRBY', shard.hours, 'views:' .. hour_of_day, total)
  -- The first views of a minute renew what the others need not.
  if redis.call('HINCRBY', shard.minutes, 'views:' .. minute_of_hour, total) == total then
    redis.call('PEXPIRE', shard.minutes, 48 * HOUR_MS)
    redis.call('PEXPIRE', shard.hours, 400 * DAY_MS)
    redis.call('PEXPIRE', shard.views, VIEWS_LIFE_MS)
    redis.call('PEXPIRE', shard.types, VIEWS_LIFE_MS)
  end
end
