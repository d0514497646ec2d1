local K, tag, header, lease = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
-- Microseconds since 1970, in 16 digits. Text, because tostring and '..' keep only 14 digits of a number.
local now = time[1] .. time[2]
if #now < 16 then now = string.sub('000000' .. time[1] .. string.sub('00000' .. time[2], -6), -16) end
-- The greatest number that Lua represents exactly. It is reached in the year 2255.
if #time[1] > 10 or now > '9007199254740991' then now = '9007199254740991' end
local own = 'B' .. tag .. now

-- A waiter's look reads first, because the key is probably held. The key of any other call is probably absent.
local line = ARGV[10] == '1' and redis.pcall('GETRANGE', K, '0', '544') or ''
if line == '' then
  if redis.call('SET', K, own .. header, 'PX', lease, 'NX') then return own end
  -- Head and header, with the bytes of a value at most behind them.
  line = redis.pcall('GETRANGE', K, '0', '544')
end
if type(line) == 'table' then return string.find(line.err, '^WRONGTYPE') and {'BAD', 'MALFORMED'} or line end
local kind, holder, fence = string.sub(line, 1, 1), string.sub(line, 2, 17), string.sub(line, 18, 33)
if not string.find(kind, '[BVM]') or string.find(holder, '[^%w_-]') or not string.find(fence, '^%d+$')
  or #fence < 16 or fence > '9007199254740991' then return {'BAD', 'MALFORMED'} end
local max_block, cached, fail_if_key_exists, seize = ARGV[4], ARGV[5] == '1', ARGV[6] == '1', ARGV[7] == '1'
local refuse, bound = ARGV[8], ARGV[11]

local function grant()
  if now <= fence then own = 'B' .. tag .. string.format('%016.0f', math.min(fence + 1, 9007199254740991)) end
  redis.call('SET', K, own .. header, 'PX', lease)
  return own
end

-- The value; nil if it is too long.
local function hit()
  if kind ~= 'V' or redis.call('STRLEN', K) > tonumber(bound) then return nil end
  return {'HIT', redis.call('GET', K), redis.call('PTTL', K)}
end

if holder == tag then
  if kind ~= 'B' then return hit() or 'DONE' end
  -- The same request is sent again, because its reply was lost.
  redis.call('PEXPIRE', K, lease)
  return string.sub(line, 1, 33)
end
if seize then return grant() end
if fail_if_key_exists then return {'EXISTS', line, redis.call('PTTL', K), now} end
if kind ~= 'B' then return cached and refuse ~= holder and hit() or grant() end
local left = redis.call('PTTL', K)
if left == -1 then
  redis.call('PEXPIRE', K, max_block)
  left = tonumber(max_block)
end
return {'BUSY', line, left, now}
