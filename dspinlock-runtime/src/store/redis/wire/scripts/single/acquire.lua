local tag, header, lease = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
-- Microseconds since 1970. Numbers are printed with '%.0f', because tostring and '..' keep only 14 digits.
local now = string.format('%010.0f%06.0f', time[1], time[2])
-- Most keys are absent: then nothing is read.
if redis.call('SET', K, 'B' .. tag .. now .. header, 'PX', lease, 'NX') then return {'ACQUIRED', 'B' .. tag .. now} end

local first = head()
local kind, holder, fence = parse(first)
if not kind then return {'BAD', 'MALFORMED'} end
local max_block, cached, fail_if_key_exists, seize = ARGV[4], ARGV[5] == '1', ARGV[6] == '1', ARGV[7] == '1'
local refuse, bound = ARGV[8], ARGV[10]

local function grant()
  local digits = string.format('%016.0f', math.min(math.max(tonumber(now), fence + 1), 9007199254740991))
  redis.call('SET', K, 'B' .. tag .. digits .. header, 'PX', lease)
  return {'ACQUIRED', 'B' .. tag .. digits}
end

-- The value; nil if it is too long.
local function hit()
  if kind ~= 'V' or redis.call('STRLEN', K) > tonumber(bound) then return nil end
  return {'HIT', redis.call('GET', K), redis.call('PTTL', K)}
end

-- Head and header, with the bytes of a value at most behind them.
local function existing(word, left)
  return {word, redis.call('GETRANGE', K, 0, 544), left, now}
end

if seize then return grant() end
if holder == tag then
  if kind ~= 'B' then return hit() or {'DONE'} end
  -- The same request is sent again, because its reply was lost.
  redis.call('PEXPIRE', K, lease)
  return {'ACQUIRED', first}
end
if fail_if_key_exists then return existing('EXISTS', redis.call('PTTL', K)) end
if kind ~= 'B' then return cached and refuse ~= holder and hit() or grant() end
local left = redis.call('PTTL', K)
if left == -1 then
  redis.call('PEXPIRE', K, max_block)
  left = tonumber(max_block)
end
return existing('BUSY', left)
