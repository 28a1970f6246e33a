-- Counts are added up over a call.
local function add(counts, name, by)
  counts[name] = (counts[name] or 0) + by
end

-- What a value of `located` has noted of the life that ends at `ends`, ms; nil: it is of a later one,
-- begun before this one was swept, and not in what is the future now that the clock was set back.
local function noted_of(held, ends)
  local from_ms, names = string.match(held or '', '^(%d+) (.*)$')
  if from_ms and ends < tonumber(from_ms) and tonumber(from_ms) <= now + 1 then
    return nil
  end
  return names or held or nil -- a value of 0.1.0 has no moment
end

local function add_noted(counts, names, by)
  for name in string.gmatch(names, '[^\t]+') do
    add(counts, name, by)
  end
end
