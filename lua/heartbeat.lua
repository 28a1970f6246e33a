--[[
  Heartbeats of one or more site shards. Each shard is decided and written in one atomic step.

  KEYS      for each shard its 16 keys, or 19 (include/keys.lua), and where a heartbeat has sources the
            hash `sources` of the day; then for each of its heartbeats the session hash, whose last
            part is the session id, and the string that marks its view
  ARGV[1]   now, ms since the epoch; empty: ask TIME
  ARGV[2]   the hour the dated keys are for, hours since the epoch
  ARGV[3]   to ARGV[10]: the settings (include/settings.lua)
  then for each shard the number of its heartbeats: negative if it has 19 keys, and with .5 if it has
  `sources`, so that 4 of such a shard are -4.5; then their members of `active`, "<session id>
  <country or --> [<user> ]<path>"; then what else is known of each. Empty: nothing; or the keyed hash
  of the client's address, if it is limited, then, if any, a space and a JSON object: type, referrer,
  city, latitude, longitude, sources (include/counters.lua), and of the user name and avatar
  ARGV[-1]  remembered of those who left, users; only where a shard has 19 keys

  A shard is at most once in a call (of 7,900 ARGV at most), has a heartbeat, and of a session one.

  Returns {now, 'stale'}, nothing was written: ARGV[2] is not this hour; or
  {now, status, outcome …, status, outcome …}: for each shard a status, then its outcomes
    status   'opened'  nobody else is on the site, it must be entered into `due`
             'open'    otherwise
             'moved layout'  the site is split anew (retire.lua), nothing was written
             'failed <error>'  such as for a key of a wrong type; some have no outcome
    outcome  'created' | 'moved' | 'refreshed' | 'duplicate'
             'limited'  the address has opened too many sessions, nothing was written
             'elsewhere'  its details say "former": false, and it may be in a shard of an earlier
                          layout; nothing was written. It is to be sent again with what is there
             nil        this one failed, or one before it in its shard
]]
-- @include hour
-- @include settings
-- @include index
-- @include member
local SHARD_KEYS, expires = 16, format(now + timeout_ms)
local midnight = now - now % DAY_MS
-- Who was seen before that has expired, or was not counted among today's visitors.
local earliest = math.max(midnight, now - timeout_ms + 1)

-- First what most heartbeats need. A member's score tells when its session was last seen, and
-- where it was: repeats and signs of life are answered here, before anything else is even defined.
-- A table that grows costs Redis microseconds each time, far more than one that is too long: what a
-- lone heartbeat fills has room from the start, by nils or what ARGV has; `reply` ends at a nil.
local reply, key, arg, at, rest, has_users = {unpack(ARGV)}, 1, 11, 2, nil, false
while KEYS[key] do
  local count, active = tonumber(ARGV[arg]), KEYS[key]
  local first_key = key + SHARD_KEYS
  local knows_users, has_sources = count < 0, count % 1 > 0 -- flags that no other shard has a byte for
  if knows_users then
    count, first_key, has_users = -count, first_key + 3, true
  end
  local day = has_sources and KEYS[first_key]
  if day then
    count, first_key = count - 0.5, first_key + 1
  end
  local first, last, renewed, renewals, is_decided, is_old = arg + 1, arg + count, 0, nil, true, false
  reply[at] = 'open'
  local scores = count == 1 and {redis.pcall('ZSCORE', active, ARGV[first])}
    or redis.pcall('ZMSCORE', active, unpack(ARGV, first, last))
  local failed = count == 1 and scores[1] or scores
  if failed and failed.err then
    if redis.pcall('HEXISTS', active, 'moved') ~= 1 then
      return failed
    end
    reply[at], scores = 'moved layout', {}
    for i = 1, count do
      reply[at + i] = false
    end
  end
  for i, score in ipairs(scores) do
    local seen = score and score - timeout_ms
    -- The score of a goodbye ends in .5 (leave.lua).
    if not (seen and seen >= earliest and seen <= now and seen % 1 == 0) then
      is_decided, reply[at + i] = false, false
    elseif now - seen < dedup_ms then
      scores[i], reply[at + i] = nil, 'duplicate' -- nil: it is decided
    else
      local session, member = KEYS[first_key + 2 * i - 2], ARGV[arg + i]
      if redis.call('HSET', session, 'seen', now_text) == 1 then -- the hash was lost
        local _, country, user, path = string.match(member, MEMBER)
        redis.call('HSET', session, 'path', path, 'since', now_text,
          unpack(country ~= '--' and {'country', country} or {}))
        if user ~= '' then
          redis.call('HSET', session, 'user', user)
        end
      end
      redis.call('PEXPIREAT', session, expires)
      renewals, renewed = renewals or {unpack(ARGV, first, last + count)}, renewed + 2 -- room
      renewals[renewed - 1], renewals[renewed] = expires, member
      is_old = is_old or seen < renewed_before
      scores[i], reply[at + i] = nil, 'refreshed'
    end
  end
  if renewals then
    redis.call('ZADD', active, unpack(renewals, 1, renewed))
  end
  if is_old then
    renew_index(key, knows_users)
  end
  if not is_decided then
    rest = {key = key, first_key = first_key, arg = arg, count = count, at = at, scores = scores,
      day = day, before = rest}
  end
  key, arg, at = first_key + 2 * count, last + count + 1, at + count + 1
end
reply[1], reply[at] = now_text, nil
if not rest then
  return reply
end

-- Then the rest: arrivals, moves, and what a score does not tell.
-- @include keys
-- @include counters
-- @include sessions
-- @include history
-- @include visitors
-- @include top
-- @include views
-- @include pending_writes
local change_user, user_with_room
if has_users then
-- @include users
-- @include identity
end
-- @include create
-- @include carry

local function move(changes, beat, was)
  local shard, page_type, is_view = changes.shard, beat.details.type, claim_view(beat.marker)
  redis.call('HSET', beat.session, 'path', beat.path, 'seen', now_text,
    unpack(page_type and {'type', page_type} or {}))
  if redis.call('ZREM', shard.active, member_of(beat.id, was.country, was.path, was.user)) == 0 then
    return create(changes, beat, was, is_view)
  end
  if beat.score or was.country ~= beat.country then
    end_earlier(shard, beat.id, was.country, beat.path, was.user)
  end
  if was.user then
    note_user(shard, was.user, beat.id, was.country, was.path, beat.path, beat.details)
  end
  if was.type and not page_type then
    redis.call('HDEL', beat.session, 'type')
  end
  table.insert(changes.events,
    {'moved', beat.id, beat.path, now_text, 'from', was.path, 'country', was.country,
      was.user and 'user', was.user})
  if is_view then
    note_view(changes.views, beat.id, beat.path, was.country, beat.details)
  end
  renew(changes, beat, was)
  add(changes.pages, beat.path, 1)
  add(changes.pages, was.path, -1)
  return 'moved'
end

-- The hash decides; where it may be wrong, after a clock was set back or by a hand, its member.
local function decide(changes, beat)
  local was, former = read_session(beat.session), beat.details.former
  if former ~= nil and was.path ~= beat.path then
    if not former then
      return 'elsewhere'
    elseif not was.path and former.path and former.ends > now then
      was = carry_in(changes, beat, former)
    end
  end
  beat.user = beat.user and user_with_room(changes.shard, beat, was)
  local ends = tonumber(was.leaving) or was.seen + timeout_ms
  if was.path and (was.path == beat.path or was.seen > now) then
    local member = member_of(beat.id, was.country, was.path, was.user)
    ends = tonumber(redis.call('ZSCORE', changes.shard.active, member) or '0')
  end
  -- Of a site that does not know users any more, who was one begins anew.
  if not was.path or now >= ends or (was.user ~= beat.user and not changes.shard.users) then
    return create(changes, beat, was)
  end
  local is_renamed = was.user ~= beat.user and change_user(changes, beat, was)
  if was.path ~= beat.path then
    return move(changes, beat, was)
  elseif not (is_renamed or was.leaving) and now >= was.seen
    and now - was.seen < dedup_ms then
    if beat.is_carried then
      put_member(changes, beat, was.country, format(former.ends))
    end
    return 'duplicate'
  end
  redis.call('HSET', beat.session, 'seen', now_text)
  renew(changes, beat, was)
  return 'refreshed'
end

local function decide_all(changes, part)
  for i = 1, part.count do
    if part.scores[i] ~= nil then
      local k = part.first_key + 2 * i - 2
      local id, country, user, path = string.match(ARGV[part.arg + i], MEMBER)
      local client, details = string.match(ARGV[part.arg + part.count + i], '^(%S*) ?(.*)$')
      reply[part.at + i] = decide(changes, {
        session = KEYS[k], marker = KEYS[k + 1], id = id, country = country, path = path,
        user = user ~= '' and user or nil, score = part.scores[i], client = client,
        details = details ~= '' and cjson.decode(details) or {},
      })
    end
  end
end

while rest do
  local changes = new_changes(rest.key, rest.first_key - rest.key > SHARD_KEYS + 1, rest.day)
  -- What was decided is written, even where a later heartbeat fails.
  local is_decided, failure = pcall(decide_all, changes, rest)
  local is_written, status = pcall(write_changes, changes)
  if is_decided and is_written then
    reply[rest.at] = status
  else
    failure = is_written and failure or status
    local text = type(failure) == 'table' and failure.err or tostring(failure)
    if string.find(text, 'READONLY', 1, true) then -- a replica: the client looks elsewhere
      return redis.error_reply(string.match(text, 'READONLY.*'))
    end
    reply[rest.at] = 'failed ' .. text
    for i = 1, is_written and 0 or rest.count do
      reply[rest.at + i] = rest.scores[i] == nil and reply[rest.at + i]
    end
  end
  rest = rest.before
end
return reply
