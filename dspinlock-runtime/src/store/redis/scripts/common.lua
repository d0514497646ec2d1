-- The part that every step shares. It mirrors state.rs, value.rs and record.rs; what the steps do mirrors protocol.rs.
local S, V = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = math.floor(now / 1000)

-- Never tostring or '..': they keep 14 digits of a number, and fences would collide.
local function digits(number)
  return string.format('%.0f', number)
end

local function deadline(milliseconds)
  return digits(now_ms + milliseconds)
end

-- A string, false where there is none, nil where it is of a wrong type; any other error ends the script.
local function fetch(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' then return reply end
  if string.find(reply.err, '^WRONGTYPE') then return nil end
  return redis.call(command, key, ...)
end

local function is_tag(text)
  return #text >= 1 and #text <= 64 and not string.find(text, '[^!-~]')
end

local function month_length(year, month)
  if month == 4 or month == 6 or month == 9 or month == 11 then return 30 end
  if month ~= 2 then return 31 end
  if year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) then return 29 end
  return 28
end

local function is_stamp(text)
  local year, month, day, hour, minute, second, rest =
    string.match(text, '^(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):(%d%d)(.*)$')
  if not year then return false end
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if month < 1 or month > 12 or day < 1 or day > month_length(year, month) then return false end
  if tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) > 59 then return false end
  local fraction = string.match(rest, '^%.(%d+)')
  if fraction then
    if #fraction > 9 then return false end
    rest = string.sub(rest, #fraction + 2)
  end
  if rest == 'Z' then return true end
  local hours, minutes = string.match(rest, '^[+-](%d%d):(%d%d)$')
  return hours ~= nil and tonumber(hours) <= 23 and tonumber(minutes) <= 59
end

-- nil where there is none; {bad = ...} where it is not a state.
local function read_state()
  local raw = fetch('GET', S)
  if raw == false then return nil end
  if raw == nil or #raw > 256 then return {bad = 'MALFORMED'} end
  local tag, stamp, number = string.match(raw, '^([^,]*),([^,]*),([^,]*)$')
  if not tag or not is_tag(tag) or not is_stamp(stamp) then return {bad = 'MALFORMED'} end
  if number == '0' or number == '1' then return {raw = raw, tag = tag, computed = number == '1'} end
  return {bad = string.find(number, '^%-?%d+$') and 'NUMBER' or 'MALFORMED'}
end

-- nil for everything that counts as absent: none, of a wrong type, malformed, torn, longer than the bound.
local function read_value(bound)
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
  local total = redis.call('STRLEN', V)
  if total ~= line_end + (has_value and tonumber(length) or 0) or (bound and total > bound) then return nil end
  return {tag = tag, fence = fence, value_tag = has_value and value_tag or nil}
end

-- Milliseconds until the state is gone; -1 where it has no expiry.
local function left()
  return redis.call('PTTL', S)
end

-- After Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms", as in state.rs.
local function stamp()
  local micros = now % 86400000000
  local shifted = (now - micros) / 86400000000 + 719468
  local era = math.floor(shifted / 146097)
  local day_of_era = shifted - era * 146097
  local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local from_march = math.floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - math.floor((153 * from_march + 2) / 5) + 1
  local month = from_march < 10 and from_march + 3 or from_march - 9
  local year = era * 400 + year_of_era + (month <= 2 and 1 or 0)
  local seconds = math.floor(micros / 1000000)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00', year, month, day,
    math.floor(seconds / 3600), math.floor(seconds / 60) % 60, seconds % 60, micros % 1000000)
end

-- How the tag and the fence hold the key: 'BLOCKED', 'COMPUTED' or not at all.
local function is_held(tag, fence)
  local state = read_state()
  if not state or state.bad or state.tag ~= tag then return nil end
  local value = read_value(nil)
  if not value or value.fence ~= tonumber(fence) then return nil end
  return state.computed and 'COMPUTED' or 'BLOCKED'
end
