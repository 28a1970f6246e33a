-- What `active` and `events` say of a session, and how a session ends.
local note_user -- include/users.lua, where a site knows who somebody is
local events_maxlen, NOBODY = ARGV[7], {}

local function member_of(id, country, path, user)
  return id .. ' ' .. country .. ' ' .. (user and user .. ' ' .. path or path)
end

-- `leaving`: when a goodbye takes effect, ms; of a session that is not here yet, with its path.
local function read_session(key)
  local was = redis.call('HMGET', key, 'path', 'seen', 'country', 'leaving', 'type', 'user')
  return {
    path = was[2] and was[1] or nil, seen = tonumber(was[2] or '0'), country = was[3] or '--',
    leaving = was[4] or nil, type = was[5] or nil, user = was[6] or nil,
  }
end

local function log_event(shard, kind, id, path, at, ...)
  redis.call('XADD', shard.events, 'MAXLEN', '~', events_maxlen, '*', 'type', kind, 'session', id,
    'path', path, 'at', at, ...)
end

-- Ends sessions whose members (flat, member and score by turns) have left `active`: counters down,
-- one `left` each, at the moment of its score (of a goodbye: leave.lua) or at `ended_at`.
local function end_sessions(shard, members, ended_at, reason)
  local pages, countries, places = {}, {}, {}
  local has_places = redis.call('EXISTS', shard.located) == 1
  for i = 1, #members, 2 do
    local id, country, user, path = string.match(members[i], MEMBER)
    local score = tonumber(members[i + 1])
    local ends = math.ceil(score)
    local why = reason or (ends == score and 'timeout' or 'leave')
    add(pages, path, -1)
    add(countries, country, -1)
    local _ = has_places and take_noted(shard, places, id, ends)
    local at = ended_at or (ends == score and members[i + 1]) or format(ends)
    local who = user ~= '' and {'user', user} or NOBODY
    if why == 'carried' then -- it goes on elsewhere (end.lua)
      log_event(shard, 'carried_out', id, path, at, 'country', country, unpack(who))
    else -- trimmed once, below: a sweep ends many
      redis.call('XADD', shard.events, '*', 'type', 'left', 'session', id, 'path', path, 'at', at,
        'reason', why, 'country', country, unpack(who))
    end
    if user ~= '' and shard.users then
      local is_seen_before = why == 'timeout' or (why == 'carried' and ends == score)
      local seen = is_seen_before and ends - timeout_ms or tonumber(at)
      note_user(shard, user, id, country, path, nil, nil, seen)
    end
  end
  redis.call('XTRIM', shard.events, 'MAXLEN', '~', events_maxlen)
  write_counts(shard.pages, pages)
  write_counts(shard.countries, countries)
  write_counts(shard.places, places)
end

-- Ends an earlier life with that member, which nobody has swept yet. The sweep ends those with
-- other members, at their true moments.
local function end_earlier(shard, id, country, path, user)
  local member = member_of(id, country, path, user)
  local score = redis.call('ZSCORE', shard.active, member)
  if score then
    redis.call('ZREM', shard.active, member)
    end_sessions(shard, {member, tonumber(score) > now and now_text or score})
  end
end
