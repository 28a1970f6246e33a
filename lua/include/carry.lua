-- Enters a session as it was in a shard of an earlier layout, `former`, from which nobody has
-- let go of it yet (end.lua): who goes on there has been a visitor, a view and `joined` already.
local function carry_in(changes, beat, former)
  local shard, country, counts = changes.shard, former.country or '--', {}
  redis.call('DEL', beat.session) -- a goodbye that came before
  local fields = {'path', former.path, 'seen', former.seen, 'since', former.since}
  for _, name in ipairs({'country', 'user', 'type', 'city', 'latitude', 'longitude', 'leaving'}) do
    add_field(fields, name, former[name])
  end
  redis.call('HSET', beat.session, unpack(fields))
  redis.call('PEXPIREAT', beat.session, format(former.ends))
  redis.call('ZADD', shard.active, format(former.ends),
    member_of(beat.id, country, former.path, former.user))
  if former.located then
    take_noted(shard, counts, beat.id, math.huge)
    redis.call('HSET', shard.located, beat.id, former.located)
    add_noted(counts, noted_of(former.located, math.huge), 1)
    write_counts(shard.places, counts)
    if redis.call('PTTL', shard.located) < 0 then
      redis.call('PEXPIRE', shard.located, site_idle_ms)
      redis.call('PEXPIRE', shard.places, site_idle_ms)
    end
  end
  if former.user and shard.users then
    local told = former.user == beat.user and beat.details or {}
    note_user(shard, former.user, beat.id, country, nil, former.path,
      {began = former.began, name = told.name, avatar = told.avatar})
  end
  table.insert(changes.events,
    {'carried_in', beat.id, former.path, now_text, 'country', country,
      former.user and 'user', former.user})
  add(changes.pages, former.path, 1)
  add(changes.countries, country, 1)
  changes.created = changes.created + 1
  -- `active` has it from now on, `pages` when all is written: these may have been empty in between.
  beat.is_carried, changes.is_old = true, true
  return read_session(beat.session)
end
