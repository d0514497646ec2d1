local state = read()
if not state then return 'MISS' end
if state.bad then return {'BAD', state.bad} end
return {state.computed and 'EXISTS' or 'BUSY', state.raw, redis.call('PTTL', S), string.format('%.0f', now)}
