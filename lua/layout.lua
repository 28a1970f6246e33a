--[[
  Writes the layouts of a site, unless somebody else has changed them since they were read. They
  are kept for ever, as the totals are to which they lead.

  KEYS[1] layouts  hash  site -> its layouts, newest first (service/store/layout.py)

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] id of the site
  ARGV[3] its layouts as they were read; empty: none
  ARGV[4] its layouts; empty: none any more

  Returns {now, 'written'}; or {now, 'outdated'}, nothing was written
]]
-- @include clock
if (redis.call('HGET', KEYS[1], ARGV[2]) or '') ~= ARGV[3] then
  return {now_text, 'outdated'}
end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
end
return {now_text, 'written'}
