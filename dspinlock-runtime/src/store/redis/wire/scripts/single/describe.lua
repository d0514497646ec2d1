local K = KEYS[1]
local line = redis.pcall('GETRANGE', K, '0', '544')
-- An entry of the wrong type is not one of this format. Any other error is the reply.
if type(line) == 'table' then return string.find(line.err, '^WRONGTYPE') and {'BAD', 'MALFORMED'} or line end
if line == '' and redis.call('EXISTS', K) == 0 then return 'MISS' end
local kind, holder, fence = string.sub(line, 1, 1), string.sub(line, 2, 17), string.sub(line, 18, 33)
if not string.find(kind, '[BVM]') or string.find(holder, '[^%w_-]') or not string.find(fence, '^%d+$')
  or #fence < 16 or fence > '9007199254740991' then return {'BAD', 'MALFORMED'} end
local left = redis.call('PTTL', K)
if kind == 'V' and redis.call('STRLEN', K) <= tonumber(ARGV[1]) then return {'HIT', redis.call('GET', K), left} end
local time = redis.call('TIME')
return {kind == 'B' and 'BUSY' or 'EXISTS', line, left, string.format('%.0f', time[1] * 1000000 + time[2])}
