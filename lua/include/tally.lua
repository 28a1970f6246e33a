-- Counts are added up over a call.
local function add(counts, name, by)
  counts[name] = (counts[name] or 0) + by
end

-- What a value of `located` has noted of the life that ends at `ends`, ms. A session may return
-- before its old member is swept; what stands there then is of its new life.
local function noted_of(held, ends)
  local from_ms, names = string.match(held or '', '^(%d+) (.*)$')
  if from_ms and ends < tonumber(from_ms) then
    return nil
  end
  return names or held or nil -- a value of 0.1.0 has no moment
end

local function add_noted(counts, names, by)
  for name in string.gmatch(names, '[^\t]+') do
    add(counts, name, by)
  end
end
