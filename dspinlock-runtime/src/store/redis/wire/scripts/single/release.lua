local head = redis.pcall('GETRANGE', KEYS[1], '0', '32')
if head == ARGV[1] then
  redis.call('UNLINK', KEYS[1])
  return 'RELEASED'
end
-- An entry of the wrong type is not the caller's. Any other error is the reply.
if type(head) == 'table' and not string.find(head.err, '^WRONGTYPE') then return head end
return ARGV[2] == '1' and 'DONE' or 'LOST'
