local tag, lease, holder, minute, text = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local function grant(value)
  local fence = math.min(math.max(now, value and value.fence + 1 or 0), 9007199254740991)
  local digits = string.format('%.0f', fence)
  -- Not PXAT, which Redis 6.0 does not know.
  redis.call('SET', S, tag .. ',' .. stamp(minute, text) .. ',0', 'PX', lease)
  redis.call('SET', V, 'dspinlock1,' .. tag .. ',' .. digits .. ',-,0,0,0,0,0,0,' .. holder .. '\n', 'PX', lease)
  return {'ACQUIRED', digits}
end

-- Most keys are absent: then nothing is parsed.
if redis.call('EXISTS', S, V) == 0 then return grant() end

local state, value = read_record()
if not state then return grant(value) end
if state.bad then return {'BAD', state.bad} end
local max_block, cached, fail_if_key_exists = tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8] == '1'
local want_value, refuse, stale, bound = ARGV[9] == '1', ARGV[10], ARGV[11], tonumber(ARGV[12])
local mine = state.tag == tag
local left = redis.call('PTTL', S)
if not mine and fail_if_key_exists then return {'EXISTS', left} end

if state.computed then
  local current = value and value.value_tag == state.tag and value.total <= bound
  if current and (mine or (cached and refuse ~= state.tag)) and want_value then
    return {'HIT', redis.call('GET', V), left}
  end
  if mine then return {'DONE'} end
  if cached and not want_value then return {'COMPUTED'} end
  return grant(value)
end

if mine then
  if not value or value.tag ~= tag then return grant(value) end
  -- The same request is sent again, because its reply was lost.
  local till = deadline(lease)
  redis.call('PEXPIREAT', S, till)
  redis.call('PEXPIREAT', V, till)
  return {'ACQUIRED', string.format('%.0f', value.fence)}
end
if stale == state.raw then return grant(value) end
if left == -1 then
  redis.call('PEXPIREAT', S, deadline(max_block))
  left = max_block
end
local foreign = (not value or value.tag ~= state.tag) and 1 or 0
return {'BUSY', state.raw, left, string.format('%.0f', now), foreign}
