local state = held(ARGV[1])
if state and not state.computed then
  redis.call('UNLINK', S)
  return 'RELEASED'
end
return ARGV[2] == '1' and 'DONE' or 'LOST'
