local id, entry, ttl = ARGV[1], ARGV[2], ARGV[3]
local first = head()
if first == 'B' .. id then
  redis.call('SET', K, entry, 'PX', ttl)
  return {'PUBLISHED'}
end
if first == 'V' .. id or first == 'M' .. id then return {'DONE'} end
return {'LOST'}
