-- A full Redis refuses the first write. `is_view`: given by `move`, which has claimed the view.
local function create(changes, beat, was, is_view)
  local shard, details = changes.shard, beat.details
  if is_view == nil and is_limited(shard, beat.client) then
    return 'limited'
  end
  redis.call('PFADD', shard.uniques, beat.id)
  is_view = is_view or claim_view(beat.marker)
  if was.path then
    end_earlier(shard, beat.id, was.country, was.path, was.user)
  end
  if beat.score then
    end_earlier(shard, beat.id, beat.country, beat.path, beat.user)
  end
  if was.path or was.leaving then
    redis.call('DEL', beat.session)
  end
  -- A goodbye that has overtaken this first heartbeat (leave.lua) ends the session when it says.
  local goodbye, left_path = string.match(was.leaving or '', '^(%d+) (.*)$')
  if left_path ~= beat.path or tonumber(goodbye) <= now then
    goodbye = nil
  end
  local fields = {'path', beat.path, 'seen', now_text, 'since', now_text, nil, nil, nil, nil} -- room
  add_field(fields, 'leaving', goodbye)
  add_field(fields, 'country', beat.country ~= '--' and beat.country)
  add_field(fields, 'user', beat.user)
  for _, name in ipairs({'type', 'city', 'latitude', 'longitude'}) do
    add_field(fields, name, details[name])
  end
  redis.call('HSET', beat.session, unpack(fields))
  redis.call('PEXPIREAT', beat.session, goodbye or expires)
  note(changes, beat)
  if beat.user then
    note_user(shard, beat.user, beat.id, beat.country, nil, beat.path, details)
  end
  table.insert(changes.events,
    {'joined', beat.id, beat.path, now_text, 'country', beat.country, beat.user and 'user', beat.user})
  if is_view then
    note_view(changes.views, beat.id, beat.path, beat.country, details)
  end
  note_newcomer(shard, beat.client)
  put_member(changes, beat, beat.country, goodbye and string.format('%.1f', goodbye - 0.5))
  add(changes.pages, beat.path, 1)
  add(changes.countries, beat.country, 1)
  changes.visitors[#changes.visitors + 1] = beat.id
  changes.created = changes.created + 1
  return 'created'
end
