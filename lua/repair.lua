--[[
  Counts pages and countries anew from `active`: for `presence doctor --repair`, after somebody
  has edited keys by hand. Takes time in proportion to the active sessions.

  KEYS[1] active     zset    "<id> <country or --> <path>" -> when it expires, ms
  KEYS[2] pages      zset    path -> active sessions on it
  KEYS[3] countries  zset    country or -- -> active sessions

  Returns {pages, countries}: how many counters were written
]]
local active, pages, countries = KEYS[1], KEYS[2], KEYS[3]

local function rewrite(key, counts)
  local life_ms, written = redis.call('PTTL', active), 0
  redis.call('DEL', key)
  for name, count in pairs(counts) do
    redis.call('ZADD', key, count, name)
    written = written + 1
  end
  if life_ms > 0 then
    redis.call('PEXPIRE', key, life_ms)
  end
  return string.format('%.0f', written)
end

local on_page, of_country = {}, {}
for _, member in ipairs(redis.call('ZRANGE', active, 0, -1)) do
  local country, path = string.match(member, '^%S+ (%S+) (.*)$')
  if path then
    on_page[path] = (on_page[path] or 0) + 1
    of_country[country] = (of_country[country] or 0) + 1
  end
end
return {rewrite(pages, on_page), rewrite(countries, of_country)}
