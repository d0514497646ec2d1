-- The state of the key if it has this tag and fence: 'BLOCKED' or 'COMPUTED'; otherwise nil.
local function is_held(tag, fence)
  local state, value = read_record()
  if not state or state.bad or state.tag ~= tag then return nil end
  if not value or value.fence ~= tonumber(fence) then return nil end
  return state.computed and 'COMPUTED' or 'BLOCKED'
end
