local state = held(ARGV[1])
if not state or state.computed then return 'LOST' end
-- Not SET, because a renewal must succeed when memory is full.
redis.call('PEXPIRE', S, ARGV[2])
return 'RENEWED'
