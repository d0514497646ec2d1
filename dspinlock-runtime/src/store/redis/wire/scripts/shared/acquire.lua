local tag, origin, lease, max_block = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local cached, fail_if_key_exists, seize, stale = ARGV[5] == '1', ARGV[6] == '1', ARGV[7] == '1', ARGV[9]
local state = read()

local function grant()
  local fence = math.min(math.max(now, state and state.fence and state.fence + 1 or 0), 9007199254740991)
  local digits = string.format('%016.0f', fence)
  redis.call('SET', S, tag .. '.' .. digits .. '.' .. origin .. ',' .. timestamp() .. ',0', 'PX', lease)
  return 'B' .. tag .. digits
end

local function existing(word, left)
  return {word, state.raw, left, string.format('%.0f', now)}
end

if not state then return grant() end
if state.bad then return {'BAD', state.bad} end
if state.owner == tag then
  if state.computed then return 'DONE' end
  -- The same request is sent again, because its reply was lost.
  redis.call('PEXPIRE', S, lease)
  return 'B' .. state.id
end
if seize then return grant() end
local left = redis.call('PTTL', S)
if fail_if_key_exists then return existing('EXISTS', left) end
if state.computed then return cached and 'COMPUTED' or grant() end
if stale == state.raw then return grant() end
if left == -1 then
  redis.call('PEXPIRE', S, max_block)
  left = tonumber(max_block)
end
return existing('BUSY', left)
