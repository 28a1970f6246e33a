-- What heartbeats change of a shard, whose keys begin at `first_key`, is added up, and written once.
-- `day`: the hash of today's sources, where a heartbeat has some.
local function new_changes(first_key, has_users, day)
  return {
    shard = open_shard(first_key, has_users), first_key = first_key, members = {nil, nil, nil, nil},
    pages = {}, countries = {}, events = {nil, nil}, visitors = {}, views = new_views(), created = 0,
    is_old = false, day = day,
  }
end

local function put_member(changes, beat, country, score)
  local members = changes.members
  members[#members + 1] = score or expires
  members[#members + 1] = member_of(beat.id, country, beat.path, beat.user)
end

-- What a sign of life writes of a session that goes on.
local function renew(changes, beat, was)
  if was.leaving then
    redis.call('HDEL', beat.session, 'leaving')
  end
  redis.call('PEXPIREAT', beat.session, expires)
  put_member(changes, beat, was.country)
  changes.is_old = changes.is_old or was.seen < renewed_before
  if was.seen < midnight or was.seen >= midnight + DAY_MS then
    changes.visitors[#changes.visitors + 1] = beat.id
  end
end

-- No counter reaches zero midway: sessions that ended here were counted by earlier calls.
local function write_changes(changes)
  local shard = changes.shard
  if #changes.members == 0 then
    return 'open'
  end
  -- First what can be recomputed, then the log, members last: a call that fails can be repeated.
  count_visitors(shard, changes.visitors)
  write_views(shard, changes.views)
  -- A batch in which all of them move empties `active` midway, though no page may be left empty.
  local may_be_new = write_counts(shard.pages, changes.pages) or changes.created > 0
    or #changes.events > 1
  write_counts(shard.countries, changes.countries)
  for _, event in ipairs(changes.events) do
    log_event(shard, unpack(event))
  end
  redis.call('ZADD', shard.active, unpack(changes.members))
  if changes.created > 0 then
    note_peak(shard)
  end
  -- Without a TTL: the site is new, or its only session has moved, so that keys were made anew.
  local is_opened = may_be_new and redis.call('PTTL', shard.active) < 0
  if is_opened or changes.is_old then
    renew_index(changes.first_key, shard.users)
  end
  return is_opened and 'opened' or 'open'
end
