-- HAProxy: which copy serves a site, so that each copy calls one node of a Redis Cluster.
-- docs/scaling.md says when that helps, and what to write into haproxy.cfg; tests/deploy/ runs it.
--
-- `lua.presence_copy` makes of a site's id the number of a copy, from 1 to SLOT_COPIES: copies
-- have equal ranges of slots. Where there are as many copies as primaries, or twice or three times
-- as many, and primaries have equal ranges too, as `redis-cli --cluster create` gives them, all
-- slots of a copy are on one node. Where they are not, or a copy serves another's sites, nothing is
-- wrong; there are more calls.

local SLOTS = 16384
local copies = math.tointeger(tonumber(os.getenv("SLOT_COPIES")))
assert(copies and copies > 0, "SLOT_COPIES: how many copies there are")

-- CRC-16/XMODEM, as the cluster specification has it.
local of_byte = {}
for byte = 0, 255 do
  local crc = byte << 8
  for _ = 1, 8 do
    crc = (crc << 1) ~ (crc & 0x8000 ~= 0 and 0x1021 or 0)
  end
  of_byte[byte] = crc & 0xFFFF
end

local function slot(key)
  local crc = 0
  for n = 1, #key do
    crc = (crc << 8 & 0xFFFF) ~ of_byte[(crc >> 8) ~ key:byte(n)]
  end
  return crc % SLOTS
end

core.register_converters("presence_copy", function(site)
  return tostring(slot(site) * copies // SLOTS + 1)
end)
