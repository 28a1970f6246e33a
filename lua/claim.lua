--[[
  Hands each due site shard to exactly one copy of the service. A claim is a lease: what is not
  settled in time falls due again, so a crash loses no site.

  While a lease stands, a goodbye can only bring the site shard forward of the lease's end (ZADD
  LT). So that none is overlooked, half a lease must be longer than the grace of a goodbye, and
  what is settled in the second half of its lease is looked at again.

  KEYS[1] due  zset  site, or tag of a site shard -> when it is next swept, ms

  ARGV[1] now, ms since the epoch; empty: ask TIME
  ARGV[2] lease, ms
  ARGV[3] site shards to claim at most, site shards
  then for each claim to settle
  ARGV[+1] site shard
  ARGV[+2] lease's end as it was handed out, ms; another score means somebody has set it since
           (a goodbye, a new life), and that stands
  ARGV[+3] when it is next due, ms; empty: it has nobody left, take it off the list

  Returns {now, site shard, lease's end, site shard, lease's end …}
]]
local due = KEYS[1]
local lease_ms, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local LIFE_MS, LATEST_MS = 400 * 86400000, math.max(120000, 2 * lease_ms)
-- @include clock

-- Redis refuses ZADD when it is out of memory, unless the script has written before, and sweeping
-- is what makes room: PEXPIRE, which it allows, comes first.
local is_renewed = false
local function set(score, site)
  if not is_renewed then
    is_renewed = true
    redis.call('PEXPIRE', due, LIFE_MS)
  end
  redis.call('ZADD', due, score, site)
end

for argument = 4, #ARGV, 3 do
  local site, held, next_due = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
  if redis.call('ZSCORE', due, site) == held then
    if tonumber(held) - now < lease_ms / 2 then
      set(now_text, site)
    elseif next_due == '' then
      redis.call('ZREM', due, site)
    else
      set(next_due, site)
    end
  end
end
-- A site shard is swept every minute; one that would wait longer was entered while the clock
-- stood ahead.
local latest = format(now + LATEST_MS)
for _, site in ipairs(redis.call('ZRANGEBYSCORE', due, latest, '+inf', 'LIMIT', 0, limit)) do
  set(now_text, site)
end
local lease_end = format(now + lease_ms)
local reply = {now_text}
for _, site in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now_text, 'LIMIT', 0, limit)) do
  set(lease_end, site)
  reply[#reply + 1] = site
  reply[#reply + 1] = lease_end
end
return reply
