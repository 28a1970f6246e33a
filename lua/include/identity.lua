-- A row of `users` is written whole, so it is capped, near 500 sessions: further ones of a user are
-- anonymous.
local LONGEST_ROW = 32768 -- bytes

function user_with_room(shard, beat, was)
  local is_theirs = was.path and was.user == beat.user
  local grows = #beat.path - (is_theirs and #was.path or -19 - #beat.id) -- user_row.lua
  local row = grows > 0 and redis.call('HGET', shard.users, beat.user) or ''
  return #row + grows <= LONGEST_ROW and beat.user or nil
end

-- A session that goes on as another user, or as nobody, keeps its page view and its `joined`.
-- Returns whether it does: one without a member begins anew.
function change_user(changes, beat, was)
  local shard, before = changes.shard, member_of(beat.id, was.country, was.path, was.user)
  local score = redis.call('ZSCORE', shard.active, before)
  if not score then
    return false
  end
  end_earlier(shard, beat.id, was.country, was.path, beat.user)
  redis.call('ZADD', shard.active, score, member_of(beat.id, was.country, was.path, beat.user))
  redis.call('ZREM', shard.active, before)
  if was.user then
    redis.call('HDEL', beat.session, 'user')
    note_user(shard, was.user, beat.id, was.country, was.path, nil, nil, now)
  end
  if beat.user then
    redis.call('HSET', beat.session, 'user', beat.user)
    note_user(shard, beat.user, beat.id, was.country, nil, was.path, beat.details)
  end
  table.insert(changes.events, {'identified', beat.id, was.path, now_text, 'was', was.user or '',
    'country', was.country, beat.user and 'user', beat.user})
  was.user = beat.user
  return true
end
