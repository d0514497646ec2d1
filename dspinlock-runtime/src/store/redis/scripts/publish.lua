local tag, fence, ttl, took, length, checksum = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local holder, payload = ARGV[7], ARGV[8]
local held = is_held(tag, fence)
if held == 'COMPUTED' then return {'DONE'} end
if held ~= 'BLOCKED' then return {'LOST'} end
local till = deadline(ttl)
local value = '-,0,0,0,0,0,0,'
if payload then
  value = table.concat({tag, fence, string.format('%.0f', now), till, took, length, checksum, ''}, ',')
end
local head = 'dspinlock1,' .. tag .. ',' .. fence .. ',' .. value .. holder .. '\n'
redis.call('SET', V, head .. (payload or ''), 'PXAT', till)
redis.call('SET', S, tag .. ',' .. stamp() .. ',1', 'PXAT', till)
return {'PUBLISHED'}
