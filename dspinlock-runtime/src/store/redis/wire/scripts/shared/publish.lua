local state = held(ARGV[1])
if not state then return 'LOST' end
if state.computed then return 'DONE' end
redis.call('SET', S, state.tag .. ',' .. timestamp() .. ',1', 'PX', ARGV[2])
return 'PUBLISHED'
