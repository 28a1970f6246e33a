--[[
  Hands an endpoint to exactly one copy of the service, or leaves it to the one that has it.

  KEYS[1] webhook  hash  fence, until (ms), cursor, state, users, and how sending went

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] lease, ms

  Returns {now, 'busy', until} while another copy has it, until then, ms; or
  {now, 'taken', fence, was_until}
    fence      the number of this lease, higher than that of any before
    was_until  when the lease before it ended, ms; '0': there was none
]]
-- @include clock
local webhook = KEYS[1]
local held = redis.call('HGET', webhook, 'until') or '0'
if tonumber(held) > now then
  if tonumber(held) > now + tonumber(ARGV[2]) then -- the clock was set back; who has it may be alive
    held = format(now + tonumber(ARGV[2]))
    redis.call('HSET', webhook, 'until', held)
  end
  return {now_text, 'busy', held}
end
redis.call('HSETNX', webhook, 'fence', now_text) -- higher than before it was deleted, too
local fence = redis.call('HINCRBY', webhook, 'fence', 1)
redis.call('HSET', webhook, 'until', format(now + tonumber(ARGV[2])))
redis.call('PEXPIRE', webhook, 30 * 86400000)
return {now_text, 'taken', format(fence), held}
