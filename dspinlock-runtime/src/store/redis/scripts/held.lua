-- How the tag and the fence hold the key: 'BLOCKED', 'COMPUTED' or not at all.
local function is_held(tag, fence)
  local state = read_state()
  if not state or state.bad or state.tag ~= tag then return nil end
  local value = read_value()
  if not value or value.fence ~= tonumber(fence) then return nil end
  return state.computed and 'COMPUTED' or 'BLOCKED'
end
