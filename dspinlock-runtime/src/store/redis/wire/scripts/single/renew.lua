local id, lease = ARGV[1], ARGV[2]
if head() ~= 'B' .. id then return {'LOST'} end
-- Not SET, because a renewal must succeed when memory is full.
redis.call('PEXPIRE', K, lease)
return {'RENEWED'}
