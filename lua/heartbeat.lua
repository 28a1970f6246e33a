--[[
  Decides and writes heartbeats of one or more site shards, each shard in one atomic step.

  For each site shard
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
  then for each of its heartbeats
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
  then for each site shard how many heartbeats it has, at least 1, and for each of these
  ARGV[+1] path
  ARGV[+2] country, two letters; empty: not known
  ARGV[+3] keyed hash of the client's address; empty: not limited
  ARGV[+4] JSON object of texts: type, referrer, city, latitude, longitude; empty: none

  Returns {now, word, outcome, outcome …, word, outcome …}: for each site shard a word, and an
  outcome for each of its heartbeats
    word     'stale': ARGV[2] is not this hour or the last, nothing was written, nothing follows;
             'opened': the site had nobody before, it must be entered into `due`; 'open': else;
             'failed <error>': no outcomes follow, such as for an index key of a wrong type; the
             other site shards of the call are not concerned. Where there is but one, its error
             is the reply
    outcome  'created' | 'moved' | 'refreshed' | 'duplicate'
             'limited'  the address has opened too many sessions, nothing was written
             'backlog'  sweep first: more expired sessions are waiting than one call may
                        remove, this one's earlier life may be among them; nothing was written
             'poisoned <key>' that key has a wrong type, nothing was written

  Most heartbeats are repeats or signs of life. They are answered for a whole site shard at once,
  and the functions that the rest needs are only made where there is a rest. A site shard can
  have 1000 heartbeats in a call: what is written at once must fit on Lua's stack.
]]
local call, try, KEYS, ARGV = redis.call, redis.pcall, KEYS, ARGV
local dedup_ms, timeout_ms, site_idle_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local SITE_KEYS, KEYS_EACH, COMMON_ARGS, ARGS_EACH = 18, 2, 10, 4
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
-- @end
local midnight = now - now % DAY_MS
-- Who was seen before that is over, or was not counted today.
local earliest = math.max(midnight, now - timeout_ms + 1)
local expires_text = string.format('%.0f', now + timeout_ms)

-- Heartbeats are numbered through the call. The site shard at hand has those from `first` to
-- `last`; its keys begin at KEYS[site + 1]; those of a heartbeat at KEYS[keys_at + KEYS_EACH *
-- number + 1], its arguments at ARGV[args_at + ARGS_EACH * number + 1]; its outcome is
-- reply[reply_at + number]. In the keys of sessions the id begins at the character `id_at`.
local first, last, site, active, keys_at, args_at, reply_at, id_at
local reply = {now_text}
-- By number: what is read of a hash, in this order, where it is read.
local known = {}
local PATH, SEEN, COUNTRY, LEAVING, TYPE = 1, 2, 3, 4, 5
-- Of the site shard at hand: whether anything was written; whether a key was made that may have
-- no TTL yet.
local wrote, is_renewed

local function read_hash(session)
  return try('HMGET', session, 'path', 'seen', 'country', 'leaving', 'type')
end

-- Creates, moves, and whatever cannot be answered for all at once: one by one.
local function build_rest()
  local view_dedup_ms = tonumber(ARGV[5])
  local events_maxlen, views_maxlen = ARGV[7], ARGV[8]
  local max_paths, new_sessions_limit = tonumber(ARGV[9]), tonumber(ARGV[10])
  local pages, countries, events, located, places, newcomers, views, totals, top, types
  local uniques, uniques_of_day, minutes, hours
  -- @include series
  -- The fields of this minute in the hash of the hour, and of this hour in that of the day.
  local minute_of_hour = string.format('%02d', math.floor(now / 60000) % 60)
  local hour_of_day = string.format('%02d', math.floor(now / HOUR_MS) % 24)
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
  -- @include peak
  -- Notes how many are active now, if that is the most this minute or this hour has seen.
  local MINUTES_LIFE_MS, HOURS_LIFE_MS = 48 * HOUR_MS, 400 * DAY_MS
  local function raise_to(key, field, count, life_ms)
    local highest = redis.call('HGET', key, field)
    if count > tonumber(highest or '0') then
      redis.call('HSET', key, field, string.format('%.0f', count))
      if not highest then
        redis.call('PEXPIRE', key, life_ms)
      end
    end
  end

  local function note_peak()
    local count = redis.call('ZCOUNT', active, '(' .. now_text, '+inf')
    raise_to(minutes, 'peak:' .. minute_of_hour, count, MINUTES_LIFE_MS)
    raise_to(hours, 'peak:' .. hour_of_day, count, HOURS_LIFE_MS)
  end
  -- @end

  -- Of the site shard at hand: what is written once for all, by write_members() and
  -- write_counts(), which leave it empty; and how far things are.
  local members, visitors, on_page, in_country = {}, {}, {}, {}
  local created, swept, backlog, is_index_checked, are_uniques_checked
  local NO_DETAILS = {}

  local function enter_site()
    pages, countries, events = KEYS[site + 2], KEYS[site + 3], KEYS[site + 4]
    located, places, newcomers = KEYS[site + 5], KEYS[site + 6], KEYS[site + 7]
    views, totals, top, types = KEYS[site + 8], KEYS[site + 9], KEYS[site + 10], KEYS[site + 11]
    uniques, uniques_of_day = KEYS[site + 12], KEYS[site + 13 + later]
    minutes, hours = KEYS[site + 15 + later], KEYS[site + 17 + later]
    created, swept, backlog, is_index_checked, are_uniques_checked = 0, false, false, false, false
  end

  local function check_uniques_once()
    if not are_uniques_checked then
      are_uniques_checked = true
      check_uniques()
    end
  end

  -- Looks at every index key once, so that a wrong type is raised before anything is written, and
  -- a full Redis refuses before anything is half done.
  local function check_index()
    if is_index_checked then
      return
    end
    check_lives()
    call('ZCARD', active)
    call('ZCARD', top)
    call('HLEN', newcomers)
    call('HLEN', totals)
    call('HLEN', types)
    call('HLEN', minutes)
    call('HLEN', hours)
    call('XLEN', views)
    check_uniques_once() -- the first write
    is_index_checked = true
  end

  local function add_member(member, score)
    members[#members + 1] = score or expires_text
    members[#members + 1] = member
  end

  -- When a session ends that is created after its own goodbye, which leave.lua has noted with its
  -- path; nil: it is not over.
  local function goodbye_of(noted, path)
    local ends, left_path = string.match(noted, '^(%d+) (.*)$')
    return left_path == path and tonumber(ends) > now and tonumber(ends) or nil
  end

  -- The members of those who were created or moved.
  local function write_members()
    if #members > 0 then
      call('ZADD', active, unpack(members))
      members = {}
    end
  end

  -- Counters are added up over the call. None can be taken for empty in between: the lives that
  -- end in this call are older than it, and were counted before.
  local function write_counts()
    write_members()
    change(pages, on_page)
    change(countries, in_country)
    on_page, in_country = {}, {}
    if are_many and is_index_checked then
      call('XTRIM', events, 'MAXLEN', '~', events_maxlen)
      call('XTRIM', views, 'MAXLEN', '~', views_maxlen)
    end
    if #visitors > 0 then
      count_uniques(visitors)
      visitors = {}
    end
    write_view_counts()
    if created > 0 then
      note_peak()
    end
  end

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

  local function create(session, marker, id, path, country, client, details, was, noted)
    if new_sessions_limit > 0 and client ~= '' then
      if tonumber(call('HGET', newcomers, client) or '0') >= new_sessions_limit then
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
    local country_text = country ~= '' and country or '--'
    local member = id .. ' ' .. country_text .. ' ' .. path
    -- An earlier life may be in `active` still: its hash outlived it (a changed timeout, a given
    -- now_ms), or went before it (evicted, or the clock was set back).
    local earlier = was and id .. ' ' .. (was[COUNTRY] or '--') .. ' ' .. was[PATH] or member
    check_index()
    local is_view = view_dedup_ms > 0 and claim_view(marker)
    if type(is_view) == 'table' then
      return 'poisoned ' .. marker
    end
    remove_lives(over)
    swept = true
    visitors[#visitors + 1] = id
    local score = call('ZSCORE', active, earlier)
    if score then
      call('ZREM', active, earlier)
      end_lives({earlier, score}, now_text)
    end
    if was or noted then
      call('DEL', session)
    end
    local ends = noted and goodbye_of(noted, path)
    local ends_text = ends and string.format('%.0f', ends)
    local fields = {'path', path, 'seen', now_text, 'since', now_text}
    local function add(name, value)
      if value and value ~= '' then
        fields[#fields + 1] = name
        fields[#fields + 1] = value
      end
    end
    add('leaving', ends_text)
    add('country', country)
    add('type', details.type)
    add('city', details.city)
    add('latitude', details.latitude)
    add('longitude', details.longitude)
    call('HSET', session, unpack(fields))
    call('PEXPIREAT', session, ends_text or expires_text)
    add_member(member, ends and string.format('%.1f', ends - 0.5)) -- as leave.lua does
    on_page[path] = (on_page[path] or 0) + 1
    in_country[country_text] = (in_country[country_text] or 0) + 1
    if details.latitude and details.longitude then
      local place = details.latitude .. ' ' .. details.longitude .. ' ' .. country_text .. ' '
        .. (details.city or '')
      call('HSET', located, id, place)
      call('ZINCRBY', places, 1, place)
      -- The first located session of a site comes later than the site.
      is_renewed = is_renewed or call('PTTL', located) < 0
    end
    append(events, events_maxlen, 'type', 'joined', 'session', id, 'path', path, 'at', now_text,
      'country', country_text)
    if is_view then
      record_view(id, path, details.type, details.referrer, country ~= '' and country or nil)
    end
    if new_sessions_limit > 0 and client ~= '' then
      if call('HINCRBY', newcomers, client, 1) == 1 and call('PTTL', newcomers) < 0 then
        call('PEXPIRE', newcomers, 60000)
      end
    end
    created = created + 1
    wrote = true
    return 'created'
  end

  -- Whether another UTC day began since.
  local function is_new_day(seen)
    return seen < midnight or seen >= midnight + DAY_MS
  end

  -- Returns nil where the session has no member, so that it must be created.
  local function move(session, marker, id, path, details, was, seen)
    check_index()
    local is_view = view_dedup_ms > 0 and claim_view(marker)
    if type(is_view) == 'table' then
      return 'poisoned ' .. marker
    end
    local country, path_before = was[COUNTRY] or '--', was[PATH]
    if call('ZREM', active, id .. ' ' .. country .. ' ' .. path_before) == 0 then
      if is_view then
        call('DEL', marker) -- it is claimed anew by create
      end
      return nil
    end
    add_member(id .. ' ' .. country .. ' ' .. path)
    if is_new_day(seen) then
      visitors[#visitors + 1] = id
    end
    if details.type then
      call('HSET', session, 'path', path, 'seen', now_text, 'type', details.type)
    else
      call('HSET', session, 'path', path, 'seen', now_text)
      if was[TYPE] then
        call('HDEL', session, 'type')
      end
    end
    if was[LEAVING] then
      call('HDEL', session, 'leaving')
    end
    call('PEXPIREAT', session, expires_text)
    on_page[path] = (on_page[path] or 0) + 1
    on_page[path_before] = (on_page[path_before] or 0) - 1
    append(events, events_maxlen, 'type', 'moved', 'session', id, 'path', path,
      'from', path_before, 'at', now_text, 'country', country)
    if is_view then
      record_view(id, path, details.type, details.referrer, was[COUNTRY])
    end
    wrote = true
    return 'moved'
  end

  -- Returns nil where the session has no member, so that it must be created.
  local function refresh(session, id, was, seen)
    if is_new_day(seen) then
      check_uniques_once()
    end
    local member = id .. ' ' .. (was[COUNTRY] or '--') .. ' ' .. was[PATH]
    if call('ZADD', active, 'XX', 'CH', expires_text, member) == 0
      and not call('ZSCORE', active, member) then
      return nil
    end
    if is_new_day(seen) then
      visitors[#visitors + 1] = id
    end
    call('HSET', session, 'seen', now_text)
    call('PEXPIREAT', session, expires_text)
    if was[LEAVING] then
      call('HDEL', session, 'leaving')
    end
    wrote = true
    return 'refreshed'
  end

  local function beat(number, was)
    local key, argument = keys_at + KEYS_EACH * number, args_at + ARGS_EACH * number
    local session, marker = KEYS[key + 1], KEYS[key + 2]
    local path, country, client = ARGV[argument + 1], ARGV[argument + 2], ARGV[argument + 3]
    if was.err then
      return 'poisoned ' .. session
    end
    local details = ARGV[argument + 4] ~= '' and cjson.decode(ARGV[argument + 4]) or NO_DETAILS
    local id = string.sub(session, id_at)
    if not (was[PATH] and was[SEEN]) then
      return create(session, marker, id, path, country, client, details, nil, was[LEAVING])
    end
    local seen, leaving = tonumber(was[SEEN]), was[LEAVING] and tonumber(was[LEAVING])
    local age, outcome = now - seen, nil
    if path == was[PATH] and age >= 0 and age < dedup_ms and not leaving then
      return 'duplicate'
    elseif now < (leaving or seen + timeout_ms) then
      if path == was[PATH] then
        outcome = refresh(session, id, was, seen)
      else
        outcome = move(session, marker, id, path, details, was, seen)
      end
    end
    return outcome or create(session, marker, id, path, country, client, details, was)
  end

  local function beats(numbers, is_met_again)
    for _, number in ipairs(numbers) do
      if is_met_again[number] then
        write_members() -- its own may be among them
        known[number] = nil
      end
      local session = KEYS[keys_at + KEYS_EACH * number + 1]
      reply[reply_at + number] = beat(number, known[number] or read_hash(session))
    end
  end

  -- Answers the heartbeats with these numbers. What was decided is written even where a later one
  -- is stopped by an error.
  return function(numbers, is_met_again)
    enter_site()
    are_many = #numbers > 1
    local is_done, failure = pcall(beats, numbers, is_met_again)
    write_counts()
    if not is_done then
      error(failure, 0)
    end
  end
end

local answer_rest -- by build_rest(), when there is a rest
local function decide_rest(numbers, is_met_again)
  answer_rest = answer_rest or build_rest()
  answer_rest(numbers, is_met_again)
end

-- Where a site shard has one heartbeat, its hash is read.
local function answer_one()
  local session, path = KEYS[site + SITE_KEYS + 1], ARGV[args_at + ARGS_EACH * first + 1]
  local was = read_hash(session)
  local seen = path == was[PATH] and not was[LEAVING] and tonumber(was[SEEN])
  if seen and seen <= now then
    if now - seen < dedup_ms then
      reply[reply_at + first] = 'duplicate'
      return
    end
    -- The first write proves that the session has its member.
    if seen >= earliest and call('ZADD', active, 'XX', 'CH', expires_text,
      string.sub(session, id_at) .. ' ' .. (was[COUNTRY] or '--') .. ' ' .. path) == 1 then
      call('HSET', session, 'seen', now_text)
      call('PEXPIREAT', session, expires_text)
      wrote = true
      reply[reply_at + first] = 'refreshed'
      return
    end
  end
  known[first] = was
  decide_rest({first}, {})
end

-- Where it has many, what is known of all of them is asked at once, and what most of them need is
-- written at once.
local is_met = {} -- sessions that something is to be written of
local function answer_many()
  -- The scores of members tell what the hashes would: a session with that member is on that path,
  -- and was seen a timeout before its score.
  local members, last_seen = {}, {}
  local first_key = keys_at + KEYS_EACH * first + 1
  local key, argument = first_key, args_at + ARGS_EACH * first + 1
  for i = 1, last - first + 1 do
    local country = ARGV[argument + 1]
    members[i] = string.sub(KEYS[key], id_at) .. ' ' .. (country ~= '' and country or '--') .. ' '
      .. ARGV[argument]
    key, argument = key + KEYS_EACH, argument + ARGS_EACH
  end
  for i, score in ipairs(call('ZMSCORE', active, unpack(members))) do
    last_seen[i] = score and score - timeout_ms
  end

  -- Those last seen today, not in the future and not too long ago repeat themselves or give a
  -- sign of life, unless they are leaving: the score of a goodbye ends in .5. The rest are decided
  -- one by one, and so is a session that is met again once there is something to be written of it.
  local hashes, to_renew, renewed, rest, is_met_again = {}, {}, {}, {}, {}
  local is_there, is_lost = {}, false
  local outcome = reply_at + first
  key = first_key
  for i = 1, last - first + 1 do
    local session, seen = KEYS[key], last_seen[i]
    if seen and seen >= earliest and seen <= now and seen % 1 == 0 and not is_met[session] then
      if now - seen < dedup_ms then
        if is_there[session] == nil then
          is_there[session] = try('HEXISTS', session, 'path')
          is_lost = is_lost or is_there[session] == 0
        end
        if type(is_there[session]) == 'table' then
          reply[outcome] = 'poisoned ' .. session
        else
          reply[outcome] = 'duplicate'
        end
      else
        hashes[#hashes + 1] = session
        is_met[session] = true
        reply[outcome] = 'refreshed'
        renewed[#renewed + 1] = i
        to_renew[#to_renew + 1] = expires_text
        to_renew[#to_renew + 1] = members[i]
      end
    else
      local number = first + i - 1
      is_met_again[number] = is_met[session]
      is_met[session] = true
      reply[outcome] = false
      rest[#rest + 1] = number
    end
    key, outcome = key + KEYS_EACH, outcome + 1
  end

  -- Whose score was read must have a hash. Where one was lost, evicted say, all are decided one by
  -- one.
  if is_lost or #hashes > 0 and call('EXISTS', unpack(hashes)) < #hashes then
    renewed, rest = {}, {}
    for number = first, last do
      rest[#rest + 1], is_met_again[number] = number, true
    end
  end

  -- These come before the rest, wherever they stood: they are other sessions, whose lives are not
  -- over, so that nothing the rest does or sweeps away depends on them.
  if #renewed > 0 then
    call('ZADD', active, 'XX', unpack(to_renew)) -- the first write
    for _, i in ipairs(renewed) do
      local session = KEYS[first_key + KEYS_EACH * (i - 1)]
      if type(try('HSET', session, 'seen', now_text)) == 'table' then
        call('ZADD', active, 'XX', string.format('%.0f', last_seen[i] + timeout_ms), members[i])
        reply[reply_at + first + i - 1] = 'poisoned ' .. session
      else
        call('PEXPIREAT', session, expires_text)
        wrote = true
      end
    end
  end
  if #rest > 0 then
    decide_rest(rest, is_met_again)
  end
end

-- Answers the heartbeats of the site shard at hand, and returns its word.
local function answer()
  active = KEYS[site + 1]
  id_at = 1 + select(2, string.find(KEYS[site + SITE_KEYS + 1], '^.*:'))
  wrote, is_renewed = false, false
  if first == last then
    answer_one()
  else
    answer_many()
  end
  if wrote then
    -- Index keys live as long as the site does; renewed at most once a minute.
    local left_ms = call('PTTL', active)
    if is_renewed or left_ms < site_idle_ms - math.min(60000, site_idle_ms / 10) then
      for key = site + 1, site + 6 do -- from active to places
        call('PEXPIRE', KEYS[key], site_idle_ms)
      end
      if left_ms < 0 then
        return 'opened'
      end
    end
  end
  return 'open'
end

local given, place = COMMON_ARGS + 1, 2
first, site = 1, 0
repeat
  local count = tonumber(ARGV[given])
  local is_alone = site == 0 and given + ARGS_EACH * count == #ARGV
  last = first + count - 1
  keys_at, args_at = site + SITE_KEYS - KEYS_EACH * first, given - ARGS_EACH * first
  reply_at = place + 1 - first
  reply[place] = 'open'
  -- What an index key of one site shard makes impossible does not concern the others.
  local is_done, word = pcall(answer)
  if not is_done then
    local text = type(word) == 'table' and word.err or tostring(word)
    -- A replica's refusal must reach the client as an error: it then looks for the primary.
    local refusal = string.match(text, 'READONLY.*')
    if is_alone or refusal then
      return redis.error_reply(refusal or text)
    end
    for outcome = #reply, place + 1, -1 do
      reply[outcome] = nil
    end
    answer_rest = nil -- with all that it holds of this one
    word = 'failed ' .. text
  end
  reply[place] = word
  place = #reply + 1
  first, site, given = last + 1, site + SITE_KEYS + KEYS_EACH * count, given + 1 + ARGS_EACH * count
until given > #ARGV
return reply
