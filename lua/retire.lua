--[[
  Retires a shard, since its site is split anew: from this step on no heartbeat and no view is
  written to it. What every script reads or writes first gets another name, and in its place stands
  a hash, so that whoever has not heard of it fails before it has done anything.

  KEYS[1] active           zset  who is here, or the hash
  KEYS[2] retired active   zset  who is here
  KEYS[3] uniques          HLL   session ids ever, or the hash
  KEYS[4] retired uniques  HLL   session ids ever

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] life of what stands in the old places, ms

  Returns {now, 'retired'}; also where it was before.
]]
-- @include clock
local renamed = {[KEYS[1]] = KEYS[2], [KEYS[3]] = KEYS[4]}
for key, retired in pairs(renamed) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' then
    if kind ~= 'none' then
      redis.call('RENAME', key, retired)
    end
    redis.call('HSET', key, 'moved', now_text)
  end
  redis.call('PEXPIRE', key, ARGV[2])
end
return {now_text, 'retired'}
