local K = KEYS[1]

-- Kind, tag and fence of the entry. '' for an entry of the wrong type. Any other error ends the script.
local function head()
  local reply = redis.pcall('GETRANGE', K, 0, 32)
  if type(reply) ~= 'table' then return reply end
  if string.find(reply.err, '^WRONGTYPE') then return '' end
  return redis.call('GETRANGE', K, 0, 32)
end

-- The kind, the tag and the fence of a head; nil if it is damaged.
local function parse(text)
  local kind, tag, digits = string.match(text, '^([BVM])([%w_-]+)$'), string.sub(text, 2, 17), string.sub(text, 18)
  local fence = kind and #text == 33 and string.find(digits, '^%d+$') and tonumber(digits)
  if fence and fence <= 9007199254740991 then return kind, tag, fence end
  return nil
end
