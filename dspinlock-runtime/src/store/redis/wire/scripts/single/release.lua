local id, was_sent = ARGV[1], ARGV[2] == '1'
if head() == 'B' .. id then
  redis.call('UNLINK', K)
  return {'RELEASED'}
end
return {was_sent and 'DONE' or 'LOST'}
