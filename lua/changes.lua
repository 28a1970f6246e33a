--[[
  What has changed at a site since a reader last looked: one call a tick, whoever watches. The
  events since then say which pages to count again, and so do expired sessions that nobody has
  swept yet, who are left out of the counts (include/unswept.lua). Of a departure the log tells once
  it is swept, within 1.5 s.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)

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
    users    {user, …} of these events, some more than once; omitted when empty
]]
-- @include hour
-- @include keys
-- @include unswept
-- @include entries_after
local FIELDS = {'type', 'path', 'from', 'country', 'at', 'reason'}
local shard, known = open_shard(1), ARGV[4]

local entries = entries_after(shard, known, tonumber(ARGV[5]), tonumber(ARGV[3]))
if not entries then
  return {now_text, 'lost'}
end

local unswept = unswept_of(shard)
local events, changed, users = {}, {}, {}
for path in pairs(unswept.pages) do
  changed[path] = true
end
for _, entry in ipairs(entries) do
  if entry.type ~= 'identified' then -- who somebody is changes no count
    changed[entry.path] = true
    if entry.from then
      changed[entry.from] = true
    end
    if string.sub(entry.type, 1, 7) ~= 'carried' then -- to another shard: nobody came or went
      events[#events + 1] = entry.id
      for _, name in ipairs(FIELDS) do
        events[#events + 1] = entry[name] or ''
      end
    end
  end
  users[#users + 1] = entry.user
  users[#users + 1] = entry.was ~= '' and entry.was or nil
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
  #entries > 0 and entries[#entries].id or known,
  pages, events, #users > 0 and users or nil,
}
