local S = KEYS[1]

-- Parses the state as state.rs does, and its tag as shared.rs does. nil if it is absent; {bad = ...} if it is not a state.
local function read()
  -- One byte more than the longest state. An absent key has the same reply as an empty string.
  local raw = redis.pcall('GETRANGE', S, 0, 256)
  if type(raw) == 'table' then
    -- Any other error ends the script.
    if not string.find(raw.err, '^WRONGTYPE') then return redis.call('GETRANGE', S, 0, 256) end
    return {bad = 'MALFORMED'}
  end
  if raw == '' and redis.call('EXISTS', S) == 0 then return nil end
  if #raw > 256 then return {bad = 'MALFORMED'} end
  local tag, year, month, day, hour, minute, second, rest, number = string.match(raw,
    '^([^,]*),(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):(%d%d)([^,]*),([^,]*)$')
  if not tag or #tag < 1 or #tag > 128 or string.find(tag, '[^!-~]') then return {bad = 'MALFORMED'} end
  if rest ~= '+00:00' and rest ~= 'Z' then
    local fraction, zone = string.match(rest, '^%.(%d+)(.*)$')
    if fraction and #fraction > 9 then return {bad = 'MALFORMED'} end
    zone = zone or rest
    if zone ~= '+00:00' and zone ~= 'Z' then
      local hours, minutes = string.match(zone, '^[+-](%d%d):(%d%d)$')
      if not hours or tonumber(hours) > 23 or tonumber(minutes) > 59 then return {bad = 'MALFORMED'} end
    end
  end
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if month < 1 or month > 12 or day < 1 or tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) > 59 then
    return {bad = 'MALFORMED'}
  end
  if day > 28 then
    local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
    local length = month == 2 and (leap and 29 or 28)
      or (month == 4 or month == 6 or month == 9 or month == 11) and 30 or 31
    if day > length then return {bad = 'MALFORMED'} end
  end
  if number ~= '0' and number ~= '1' then
    return {bad = string.find(number, '^%-?%d+$') and 'NUMBER' or 'MALFORMED'}
  end
  local state = {raw = raw, tag = tag, computed = number == '1'}
  -- A tag of another program has no owner and no fence.
  local owner, digits = string.match(tag, '^([%w_-]+)%.(%d+)%.')
  if owner and #owner == 16 and #digits == 16 and tonumber(digits) <= 9007199254740991 then
    state.owner, state.fence, state.id = owner, tonumber(digits), owner .. digits
  end
  return state
end

-- The state if this grant has the key, BLOCKED or COMPUTED; otherwise nil.
local function held(id)
  local state = read()
  return state and state.id == id and state or nil
end
