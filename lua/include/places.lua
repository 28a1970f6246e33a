-- The place in a value of `located`, if the life that ends at `ends`, ms, was there. A session may
-- return before its old member is swept; what stands there then is the place of its new life.
local function place_of(held, ends)
  if not held then
    return nil
  end
  local from_ms, place = string.match(held, '^(%d+) (.*)$')
  if from_ms and ends < tonumber(from_ms) then
    return nil
  end
  return place or held -- a value of 0.1.0 has no moment
end
