local head = redis.pcall('GETRANGE', KEYS[1], '0', '32')
if head == ARGV[1] then
  -- Not SET, because a renewal must succeed when memory is full.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 'RENEWED'
end
-- An entry of the wrong type is not the caller's. Any other error is the reply.
if type(head) == 'table' and not string.find(head.err, '^WRONGTYPE') then return head end
return 'LOST'
