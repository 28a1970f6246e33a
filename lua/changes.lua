--[[
  What has changed at a site since a reader last looked: one call a tick, whoever watches. The
  events since then say which pages to count again, and so do expired sessions that nobody has
  swept yet, who are left out of the counts (include/unswept.lua).

  KEYS[1]  to KEYS[15] or KEYS[18]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  length of events, entries
  ARGV[4]  the last entry in events that the reader knows, a stream id; '0-0': there was none
  ARGV[5]  events to return at most, entries

  Returns {now, 'stale'}, as heartbeat.lua; or {now, 'lost'}, where the entry is trimmed, more follow
  it, or some that did are erased, so that only a snapshot tells where things are; or
  {now, 'changes', active, views, event, pages, events, users}
    active   active sessions
    views    page views ever
    event    id of the last entry in events
    pages    {path, count, …} of the pages that changed
    events   {id, type, path, from or '', country or '', at in ms, reason or '', id, …}, in order
    users    {user, …} of these events, some more than once; it is not there where it is empty
]]
-- @include clock
-- @include hour
-- @include keys
-- @include member
-- @include tally
-- @include places
-- @include unswept
local FIELDS = {'type', 'path', 'from', 'country', 'at', 'reason'}
local shard, known, limit = open_shard(1), ARGV[4], tonumber(ARGV[5])

-- From the known entry itself: while it is there, nothing behind it is trimmed. Where there was
-- none, nothing is while the stream is shorter than it may be.
local entries = redis.call('XRANGE', shard.events, known, '+', 'COUNT', limit + 2)
local first, is_whole
if known == '0-0' then
  first, is_whole = 1, redis.call('XLEN', shard.events) < tonumber(ARGV[3])
else
  first, is_whole = 2, #entries > 0 and entries[1][1] == known
end
if not is_whole or #entries - first + 1 > limit then
  return {now_text, 'lost'}
end

local unswept = unswept_of(shard)
local events, changed, users = {}, {}, {}
for path in pairs(unswept.pages) do
  changed[path] = true
end
for n = first, #entries do
  local fields, flat = {}, entries[n][2]
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  if fields.type == 'erased' then -- what changed before it, nobody can tell (erase_events.lua)
    return {now_text, 'lost'}
  end
  if fields.type ~= 'identified' then -- who somebody is changes no count
    changed[fields.path] = true
    if fields.from then
      changed[fields.from] = true
    end
    events[#events + 1] = entries[n][1]
    for _, name in ipairs(FIELDS) do
      events[#events + 1] = fields[name] or ''
    end
  end
  users[#users + 1] = fields.user
  users[#users + 1] = fields.was ~= '' and fields.was or nil
end
local pages = {}
for path in pairs(changed) do
  pages[#pages + 1] = path
  pages[#pages + 1] = count_without(shard.pages, unswept.pages, path)
end
return {
  now_text, 'changes',
  format(redis.call('ZCOUNT', shard.active, '(' .. now_text, '+inf')),
  redis.call('HGET', shard.totals, 'views') or '0',
  #entries > 0 and entries[#entries][1] or known,
  pages, events, #users > 0 and users or nil,
}
