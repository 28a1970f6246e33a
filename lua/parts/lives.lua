-- Reads each key that the end of a life changes, so that a wrong type is raised before anything
-- is written.
local function check_lives()
  redis.call('ZCARD', pages)
  redis.call('ZCARD', countries)
  redis.call('ZCARD', places)
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
