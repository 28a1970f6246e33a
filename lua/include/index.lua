-- Index keys, from active to places, live as long as the site does. They are renewed at most once
-- a minute. Returns 'opened' where the site had nobody before.
local function renew_index(first_key)
  local left_ms = redis.call('PTTL', KEYS[first_key])
  if left_ms < site_idle_ms - math.min(60000, site_idle_ms / 10) then
    for index = first_key, first_key + 5 do
      redis.call('PEXPIRE', KEYS[index], site_idle_ms)
    end
  end
  return left_ms < 0 and 'opened' or 'open'
end
