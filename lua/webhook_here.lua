--[[
  What the log of a shard adds up to, so that whoever follows it can begin at its end: also those
  who have expired and are not swept yet, of whom the log will tell.

  KEYS[1]  to KEYS[16] or KEYS[19]: the shard's keys (include/keys.lua)

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  the hour the dated keys are for, hours since the epoch
  ARGV[3]  path of a page

  Returns {now, 'stale'}, as heartbeat.lua; or {now, event, active, on_page}
    event    id of the last entry in events; '0-0': there is none
    active   sessions
    on_page  sessions on that page
]]
-- @include hour
-- @include keys
local shard = open_shard(1)
local last = redis.call('XREVRANGE', shard.events, '+', '-', 'COUNT', 1)[1]
return {now_text, last and last[1] or '0-0', format(redis.call('ZCARD', shard.active)),
  redis.call('ZSCORE', shard.pages, ARGV[3]) or '0'}
