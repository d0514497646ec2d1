-- How the tag and the fence hold the key: 'BLOCKED', 'COMPUTED' or not at all.
local function is_held(tag, fence)
  local state, value = read_record()
  if not state or state.bad or state.tag ~= tag then return nil end
  if not value or value.fence ~= tonumber(fence) then return nil end
  return state.computed and 'COMPUTED' or 'BLOCKED'
end
