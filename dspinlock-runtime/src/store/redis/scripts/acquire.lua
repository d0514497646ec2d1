local tag, lease, max_block = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local cached, fail_if_key_exists, want_value = ARGV[4] == '1', ARGV[5] == '1', ARGV[6] == '1'
local refuse, stale, holder, bound = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])

local function grant(value)
  local fence = math.min(math.max(now, value and value.fence + 1 or 0), 9007199254740991)
  local till, digits = deadline(lease), string.format('%.0f', fence)
  redis.call('SET', S, tag .. ',' .. stamp() .. ',0', 'PXAT', till)
  redis.call('SET', V, 'dspinlock1,' .. tag .. ',' .. digits .. ',-,0,0,0,0,0,0,' .. holder .. '\n', 'PXAT', till)
  return {'ACQUIRED', digits}
end

local state = read_state()
if not state then return grant(read_value()) end
if state.bad then return {'BAD', state.bad} end
local mine = state.tag == tag
local left = redis.call('PTTL', S)
if not mine and fail_if_key_exists then return {'EXISTS', left} end

if state.computed then
  local value = read_value()
  local current = value and value.value_tag == state.tag and value.total <= bound
  if current and (mine or (cached and refuse ~= state.tag)) and want_value then
    return {'HIT', redis.call('GET', V), left}
  end
  if mine then return {'DONE'} end
  if cached and not want_value then return {'COMPUTED'} end
  return grant(value)
end

if mine then
  local value = read_value()
  if not value or value.tag ~= tag then return grant(value) end
  -- The reply was lost, and the same request comes again.
  local till = deadline(lease)
  redis.call('PEXPIREAT', S, till)
  redis.call('PEXPIREAT', V, till)
  return {'ACQUIRED', string.format('%.0f', value.fence)}
end
if stale == state.raw then return grant(read_value()) end
if left == -1 then
  redis.call('PEXPIREAT', S, deadline(max_block))
  left = max_block
end
local value = read_value()
local foreign = (not value or value.tag ~= state.tag) and 1 or 0
return {'BUSY', state.raw, left, string.format('%.0f', now), foreign}
