local tag, fence, holder, minute, text, granted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local ttl, took, length, checksum, payload = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local head, tail = 'dspinlock1,' .. tag .. ',' .. fence .. ',', holder .. '\n'
-- Most keys are unchanged since their grant: then nothing is parsed. (A state has at most 256 bytes, a header 1024.)
local untouched = redis.pcall('GETRANGE', S, '0', '256') == granted
  and redis.pcall('GETRANGE', V, '0', '1024') == head .. '-,0,0,0,0,0,0,' .. tail
local held = untouched and 'BLOCKED' or is_held(tag, fence)
if held == 'COMPUTED' then return {'DONE'} end
if held ~= 'BLOCKED' then return {'LOST'} end
local value = '-,0,0,0,0,0,0,'
if payload then
  value = table.concat({tag, fence, string.format('%.0f', now), deadline(ttl), took, length, checksum, ''}, ',')
end
redis.call('SET', V, head .. value .. tail .. (payload or ''), 'PX', ttl)
redis.call('SET', S, tag .. ',' .. stamp(minute, text) .. ',1', 'PX', ttl)
return {'PUBLISHED'}
