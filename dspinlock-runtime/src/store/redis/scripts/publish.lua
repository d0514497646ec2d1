local tag, fence, ttl, took, length, checksum = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local holder, payload = ARGV[7], ARGV[8]
local held = is_held(tag, fence)
if held == 'COMPUTED' then return {'DONE'} end
if held ~= 'BLOCKED' then return {'LOST'} end
local till = deadline(ttl)
local head = 'dspinlock1,' .. tag .. ',' .. fence .. ','
if payload then
  head = head .. tag .. ',' .. fence .. ',' .. digits(now) .. ',' .. till .. ',' .. took .. ',' .. length .. ',' .. checksum .. ','
else
  head = head .. '-,0,0,0,0,0,0,'
end
redis.call('SET', V, head .. holder .. '\n' .. (payload or ''), 'PXAT', till)
redis.call('SET', S, tag .. ',' .. stamp() .. ',1', 'PXAT', till)
return {'PUBLISHED'}
