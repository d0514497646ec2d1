-- The server's clock: microseconds since 1970, exact in a Lua number. Numbers are printed with '%.0f', because tostring
-- and '..' keep only 14 digits, so that fences would collide.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- After Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms", as in timestamp.rs.
local function timestamp()
  local floor = math.floor
  local minutes = floor(time[1] / 60)
  local shifted = floor(minutes / 1440) + 719468
  local era = floor(shifted / 146097)
  local day_of_era = shifted - era * 146097
  local year_of_era = floor((day_of_era - floor(day_of_era / 1460) + floor(day_of_era / 36524)
    - floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
  local from_march = floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - floor((153 * from_march + 2) / 5) + 1
  local month = from_march < 10 and from_march + 3 or from_march - 9
  local year = era * 400 + year_of_era + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00', year, month, day, floor(minutes / 60) % 24,
    minutes % 60, time[1] % 60, time[2])
end
