--[[
  Leaves the primary's clock where its replicas show it: who reads it there has everything that was
  written before.

  KEYS[1]  clock  string  the primary's time, ms since the epoch

  ARGV[1]  now, ms since the epoch; empty: ask TIME
  ARGV[2]  life of the key, ms

  Returns {now}
]]
-- @include clock
redis.call('SET', KEYS[1], now_text, 'PX', ARGV[2])
return {now_text}
