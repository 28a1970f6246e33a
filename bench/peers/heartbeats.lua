-- Heartbeats of one site, with the meaning and the keys of the service's lua/heartbeat.lua.
-- KEYS: "presence:{site}:". ARGV: dedup window, session timeout, view dedup window (ms); then for
-- each heartbeat session id, path, page type, referrer's host, country, address: '' if none.
local base = KEYS[1]
local dedup_ms, timeout_ms, view_dedup_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local DAY_MS, SITE_IDLE_MS, NEW_SESSIONS, MAX_PATHS = 86400000, 86400000, 10000000, 10000
local active, pages, events = base .. 'active', base .. 'pages', base .. 'events'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_text = string.format('%.0f', now)
local expires = string.format('%.0f', now + timeout_ms)
local day, hour = math.floor(now / DAY_MS), math.floor(now / 3600000)

local function count_unique(id)
  redis.call('PFADD', base .. 'uniques', id)
  local today = base .. 'uniques:' .. day
  if redis.call('PFADD', today, id) == 1 and redis.call('PTTL', today) < 0 then
    redis.call('PEXPIRE', today, 400 * DAY_MS)
  end
end

local function raise_peak(key, count, life_ms)
  if count > tonumber(redis.call('HGET', key, 'peak') or '0') then
    redis.call('HSET', key, 'peak', count)
    redis.call('PEXPIRE', key, life_ms)
  end
end

local function record_view(id, path, page_type, referrer)
  local marker = base .. 'viewed:' .. id .. ':' .. path
  if not redis.call('SET', marker, '1', 'NX', 'PX', view_dedup_ms) then
    return
  end
  redis.call('XADD', base .. 'views', 'MAXLEN', '~', 100000, '*',
    'session', id, 'path', path, 'at', now_text, 'type', page_type, 'referrer', referrer)
  local top = base .. 'top'
  if not redis.call('ZADD', top, 'XX', 'INCR', 1, path) then
    redis.call('ZINCRBY', top, 1, redis.call('ZCARD', top) < MAX_PATHS and path or '__other__')
  end
  redis.call('HINCRBY', base .. 'totals', 'views', 1)
  local minutes, hours = base .. 'minutes:' .. hour, base .. 'hours:' .. day
  redis.call('HINCRBY', minutes, 'views:' .. math.floor(now / 60000) % 60, 1)
  redis.call('PEXPIRE', minutes, 2 * DAY_MS)
  redis.call('HINCRBY', hours, 'views:' .. hour % 24, 1)
  redis.call('PEXPIRE', hours, 400 * DAY_MS)
end

local function renew_site()
  if redis.call('PTTL', active) < SITE_IDLE_MS - 60000 then
    for _, name in ipairs({'active', 'pages', 'countries', 'events'}) do
      redis.call('PEXPIRE', base .. name, SITE_IDLE_MS)
    end
  end
end

local function decide(id, path, page_type, referrer, country, address)
  local session = base .. 'session:' .. id
  local known = redis.call('HMGET', session, 'path', 'seen', 'country')
  local was, seen = known[1], tonumber(known[2])
  if was == path and now - seen < dedup_ms then
    return 'duplicate'
  end
  local is_alive = was and now < seen + timeout_ms
  local where = is_alive and (known[3] or '--') or (country ~= '' and country or '--')
  local member = id .. ' ' .. where .. ' ' .. path
  if is_alive then
    if was == path then
      redis.call('ZADD', active, 'XX', expires, member)
      redis.call('HSET', session, 'seen', now_text)
    else
      redis.call('ZREM', active, id .. ' ' .. where .. ' ' .. was)
      redis.call('ZADD', active, expires, member)
      redis.call('HSET', session, 'path', path, 'seen', now_text)
      if tonumber(redis.call('ZINCRBY', pages, -1, was)) <= 0 then
        redis.call('ZREM', pages, was)
      end
      redis.call('ZINCRBY', pages, 1, path)
      redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'type', 'moved', 'session', id,
        'path', path, 'from', was, 'at', now_text)
      record_view(id, path, page_type, referrer)
    end
    redis.call('PEXPIREAT', session, expires)
    if math.floor(seen / DAY_MS) ~= day then
      count_unique(id)
    end
    renew_site()
    return was == path and 'refreshed' or 'moved'
  end
  if address ~= '' then
    local newcomers = base .. 'newcomers'
    local count = redis.call('HINCRBY', newcomers, address, 1)
    if count == 1 then
      redis.call('PEXPIRE', newcomers, 60000)
    elseif count > NEW_SESSIONS then
      return 'limited'
    end
  end
  redis.call('HSET', session, 'path', path, 'seen', now_text, 'since', now_text, 'country', where)
  redis.call('PEXPIREAT', session, expires)
  redis.call('ZADD', active, expires, member)
  redis.call('ZINCRBY', pages, 1, path)
  redis.call('ZINCRBY', base .. 'countries', 1, where)
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'type', 'joined', 'session', id,
    'path', path, 'at', now_text)
  count_unique(id)
  record_view(id, path, page_type, referrer)
  local here = redis.call('ZCOUNT', active, '(' .. now_text, '+inf')
  raise_peak(base .. 'minutes:' .. hour, here, 2 * DAY_MS)
  raise_peak(base .. 'hours:' .. day, here, 400 * DAY_MS)
  renew_site()
  return 'created'
end

local outcomes = {}
for a = 4, #ARGV, 6 do
  outcomes[#outcomes + 1] = decide(unpack(ARGV, a, a + 5))
end
return outcomes
