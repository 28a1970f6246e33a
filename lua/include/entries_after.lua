-- What came into `events` after an entry that the reader knows, '0-0' where there was none: the
-- fields of each, and its id. Nil where nobody can tell: the entry is trimmed, more than `limit`
-- follow it, or some that did are erased (erase_events.lua).
local function entries_after(shard, known, limit, maxlen)
  -- From the known entry itself: while it is there, nothing behind it is trimmed. Where there was
  -- none, nothing is while the stream is shorter than it may be.
  local entries = redis.call('XRANGE', shard.events, known, '+', 'COUNT', limit + 2)
  local is_lost = known == '0-0' and redis.call('XLEN', shard.events) >= maxlen
  if known ~= '0-0' then
    is_lost = #entries == 0 or table.remove(entries, 1)[1] ~= known
  end
  if is_lost or #entries > limit then
    return nil
  end
  for n, entry in ipairs(entries) do
    local fields, flat = {id = entry[1]}, entry[2]
    for i = 1, #flat, 2 do
      fields[flat[i]] = flat[i + 1]
    end
    if fields.type == 'erased' then
      return nil
    end
    entries[n] = fields
  end
  return entries
end
