-- Index keys, from active to places, live as long as the site does. A session renews them when it
-- is first seen in another 24th of that time, so that few heartbeats do.
local renewed_before = now - now % math.ceil(site_idle_ms / 24)
local function renew_index(first_key, has_users)
  for index = first_key, first_key + 5 do
    redis.call('PEXPIRE', KEYS[index], site_idle_ms)
  end
  for index = first_key + 16, first_key + (has_users and 18 or 0) do
    redis.call('PEXPIRE', KEYS[index], 2592000000) -- 30 days, as include/user_row.lua says
  end
end
