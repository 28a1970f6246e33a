--[[
  Records an explicit page view: once per session and path within the dedup window.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)
  KEYS[-2] session  hash    its last part is the session id
  KEYS[-1] viewed   string  marks the view of this session and path

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  to ARGV[10]: the settings (include/settings.lua)
  ARGV[11] path
  ARGV[12] page type; empty: not given
  ARGV[13] referrer, a host; empty: not given
  ARGV[14] keyed hash of the client's address; empty: not limited

  Returns {now, 'stale'}, as heartbeat.lua; or {now, status, outcome}
    status   'opened'  the first view of the site
             'open'    otherwise
    outcome  'recorded' | 'duplicate'
             'limited'  the address has brought too many sessions that are not here, nothing was
                        written
]]
-- @include hour
-- @include keys
-- @include tally
-- @include history
-- @include visitors
-- @include top
-- @include views
local shard, session, marker, path = open_shard(1), KEYS[#KEYS - 1], KEYS[#KEYS], ARGV[11]
local client = redis.call('HEXISTS', session, 'seen') == 0 and ARGV[14] or '' -- not who is here

if is_limited(shard, client) then
  return {now_text, 'open', 'limited'}
end
local id = string.match(session, '([^:]+)$')
redis.call('PFADD', shard.uniques, id) -- a full Redis refuses here, before anything is written
count_visitors(shard, {id})
if not claim_view(marker) then
  return {now_text, 'open', 'duplicate'}
end
local is_first = redis.call('EXISTS', shard.totals) == 0
local views = new_views()
local page_type = ARGV[12] ~= '' and ARGV[12] or nil
note_view(views, id, path, redis.call('HGET', session, 'country') or '--',
  {type = page_type, referrer = ARGV[13]})
write_views(shard, views)
note_newcomer(shard, client)
return {now_text, is_first and 'opened' or 'open', 'recorded'}
