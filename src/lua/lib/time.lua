-- Time objects: seconds and nanoseconds since the epoch, as rules see them.
--
-- Two time objects are equal only when they are the same object; rules
-- compare `.seconds`. Reading the clock is the host's.

local host = ...

local type, tonumber, tostring = type, tonumber, tostring
local setmetatable, getmetatable = setmetatable, getmetatable
local error, floor, ceil, format = error, math.floor, math.ceil, string.format
local now, time_text = host.now, host.time_text

local time = {}

local NAMES = { secs = 1, nsecs = 2 }

local function integer(value)
  return value < 0 and ceil(value) or floor(value)
end

local Time = { __name = 'time', __attributes = { 'nsecs', 'seconds', 'secs' } }

-- secs and nsecs sit in the slots 1 and 2, so that every access by name
-- comes here and is checked.
function Time.__index(self, key)
  local slot = NAMES[key]
  if slot then return self[slot] end
  if key == 'seconds' then return self[1] + self[2] / 1e9 end
  error(format("unknown field '%s'", tostring(key)), 0)
end

function Time.__newindex(self, key, value)
  local slot = NAMES[key]
  if slot then
    local number = tonumber(value)
    if not number then
      error(format("Error in %s (arg 2), expected 'number' got '%s'", key, type(value)), 0)
    end
    self[slot] = integer(number)
    return
  end
  if key == 'seconds' then error('This variable is immutable', 0) end
  error(format("unknown field '%s'", tostring(key)), 0)
end

function Time.__tostring(self)
  return time_text(self[1])
end

function time.new(secs, nsecs)
  return setmetatable({ secs, nsecs }, Time)
end

function time.is(value)
  return getmetatable(value) == Time
end

-- From a number of seconds; the fraction keeps the sign of the whole.
function time.from_seconds(seconds)
  local number = tonumber(seconds)
  if not number then
    error(format("Error in time (arg 1), expected 'number' got '%s'", type(seconds)), 2)
  end
  local secs = integer(number)
  return time.new(secs, integer((number - secs) * 1e9))
end

-- The engine's clock: capture time, not the wall clock, when replaying.
function time.network()
  return time.new(now())
end

return time
