-- The tag decides alone, because a dropped call knows no fence.
local head = redis.pcall('GETRANGE', KEYS[1], '0', '32')
-- An entry of the wrong type is not the caller's. Any other error is the reply.
if type(head) == 'table' then return string.find(head.err, '^WRONGTYPE') and {'ABORTED', 0} or head end
local fence = string.sub(head, 18)
if string.sub(head, 1, 17) ~= 'B' .. ARGV[1] or not string.find(fence, '^%d+$') or #fence < 16
  or fence > '9007199254740991' then return {'ABORTED', 0} end
redis.call('UNLINK', KEYS[1])
return {'ABORTED', 1}
