-- Counts sessions among the unique visitors of this UTC day.
local function count_visitors(shard, ids)
  if #ids > 0 and redis.call('PFADD', shard.uniques_of_day, unpack(ids)) == 1
    and redis.call('PTTL', shard.uniques_of_day) < 0 then
    redis.call('PEXPIRE', shard.uniques_of_day, 400 * DAY_MS)
  end
end

-- Whether this client's address has brought all the new sessions of this minute that it may.
local new_sessions_per_minute = tonumber(ARGV[10])
local function is_limited(shard, client)
  return new_sessions_per_minute > 0 and client ~= ''
    and tonumber(redis.call('HGET', shard.newcomers, client) or '0') >= new_sessions_per_minute
end

local function note_newcomer(shard, client)
  if new_sessions_per_minute > 0 and client ~= ''
    and redis.call('HINCRBY', shard.newcomers, client, 1) == 1 and redis.call('PTTL', shard.newcomers) < 0 then
    redis.call('PEXPIRE', shard.newcomers, 60000)
  end
end
