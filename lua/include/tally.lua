-- Counts are added up over a call.
local function add(counts, name, by)
  counts[name] = (counts[name] or 0) + by
end
