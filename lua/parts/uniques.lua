-- Adds nobody, which raises a wrong type. It is a write, harmless by itself, that Redis refuses
-- when it is out of memory.
local function check_uniques()
  redis.call('PFADD', uniques)
  if redis.call('PFADD', uniques_of_day) == 1 then
    redis.call('PEXPIRE', uniques_of_day, 400 * DAY_MS)
  end
end

-- Counts sessions among the unique visitors of all time and of this UTC day.
local function count_uniques(ids)
  if #ids == 0 then
    return
  end
  redis.call('PFADD', uniques, unpack(ids))
  if redis.call('PFADD', uniques_of_day, unpack(ids)) == 1
    and redis.call('PTTL', uniques_of_day) < 0 then
    redis.call('PEXPIRE', uniques_of_day, 400 * DAY_MS)
  end
end
