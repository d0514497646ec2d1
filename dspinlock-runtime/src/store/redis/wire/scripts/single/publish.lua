local head = redis.pcall('GETRANGE', KEYS[1], '0', '32')
if head == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 'PUBLISHED'
end
-- An entry of the wrong type is not the caller's. Any other error is the reply.
if type(head) == 'table' then return string.find(head.err, '^WRONGTYPE') and 'LOST' or head end
if string.find(head, '^[VM]') and string.sub(head, 2) == string.sub(ARGV[1], 2) then return 'DONE' end
return 'LOST'
