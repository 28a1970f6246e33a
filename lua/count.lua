--[[
  The cheapest read: how many are active, and how many on some paths.

  `active` is counted by score and needs no sweep. A page's counter is exact when nobody is left
  to sweep, so a bounded number is swept first where paths are asked for.

  KEYS[1] active     zset    "<id> <country or --> <path>" -> when it expires, ms
  KEYS[2] pages      zset    path -> active sessions on it
  KEYS[3] countries  zset    country or -- -> active sessions
  KEYS[4] events     stream  joined, moved, left
  KEYS[5] located    hash    id -> "<latitude> <longitude> <country or --> <city>"
  KEYS[6] places     zset    that text -> active sessions

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] length of events, entries
  ARGV[3] sessions to sweep at the most, sessions
  then for each path asked for
  ARGV[+1] path

  Returns {now, active, count, count …}
    active   active sessions
    count    active sessions on that path
]]
local active, pages, countries, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local located, places = KEYS[5], KEYS[6]
local events_maxlen, limit = ARGV[2], tonumber(ARGV[3])
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

if #ARGV > 3 then
  remove_lives(expired_lives(limit))
end
local reply = {now_text, string.format('%.0f', redis.call('ZCOUNT', active, '(' .. now_text, '+inf'))}
for argument = 4, #ARGV do
  reply[#reply + 1] = redis.call('ZSCORE', pages, ARGV[argument]) or '0'
end
return reply
