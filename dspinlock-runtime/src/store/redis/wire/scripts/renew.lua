local tag, fence, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
if is_held(tag, fence) ~= 'BLOCKED' then return {'LOST'} end
-- Not SET, because a renewal must succeed when memory is full.
local till = deadline(lease)
redis.call('PEXPIREAT', S, till)
redis.call('PEXPIREAT', V, till)
return {'RENEWED'}
