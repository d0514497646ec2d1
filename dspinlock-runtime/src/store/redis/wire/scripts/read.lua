-- Parses both entries as state.rs, value.rs and record.rs do. It is one function, so that a script that does not call it
-- pays for one definition.
local function read_record()
  -- The bytes, or nil for an entry of the wrong type. Any other error ends the script.
  local function fetch(command, key, ...)
    local reply = redis.pcall(command, key, ...)
    if type(reply) ~= 'table' then return reply end
    if string.find(reply.err, '^WRONGTYPE') then return nil end
    return redis.call(command, key, ...)
  end

  local function is_tag(text)
    return #text >= 1 and #text <= 64 and not string.find(text, '[^!-~]')
  end

  -- nil if it is absent; {bad = ...} if it is not a state.
  local function state_of()
    -- One byte more than the longest state. An absent key has the same reply as an empty string.
    local raw = fetch('GETRANGE', S, '0', '256')
    if raw == '' and redis.call('EXISTS', S) == 0 then return nil end
    if raw == nil or #raw > 256 then return {bad = 'MALFORMED'} end
    local tag, year, month, day, hour, minute, second, rest, number = string.match(raw,
      '^([^,]*),(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):(%d%d)([^,]*),([^,]*)$')
    if not tag or not is_tag(tag) then return {bad = 'MALFORMED'} end
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
    if number == '0' or number == '1' then return {raw = raw, tag = tag, computed = number == '1'} end
    return {bad = string.find(number, '^%-?%d+$') and 'NUMBER' or 'MALFORMED'}
  end

  -- nil if it is absent, of the wrong type, malformed or incomplete.
  local function value_of()
    local head = fetch('GETRANGE', V, 0, 1023)
    if not head then return nil end
    local line_end = string.find(head, '\n', 1, true)
    if not line_end then return nil end
    local line = string.sub(head, 1, line_end - 1)
    local tag, fence, value_tag, value_fence, made, fresh, took, length, checksum, process =
      string.match(line, '^dspinlock1,([^,]*),(%d+),([^,]*),(%d+),(%d+),(%d+),(%d+),(%d+),(%x+),(%d+),[^,]*,')
    if not tag or not is_tag(tag) or not is_tag(value_tag) or #checksum > 8 then return nil end
    for _, number in ipairs({fence, value_fence, made, fresh, took, length, process}) do
      if #number > 16 then return nil end
    end
    fence = tonumber(fence)
    if fence > 9007199254740991 then return nil end
    local has_value = value_tag ~= '-'
    local total = #head < 1024 and #head or redis.call('STRLEN', V)
    if total ~= line_end + (has_value and tonumber(length) or 0) then return nil end
    return {tag = tag, fence = fence, value_tag = has_value and value_tag or nil, total = total}
  end

  return state_of(), value_of()
end
