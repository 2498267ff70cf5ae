-- Timers on packet time: `start(seconds, owner)` calls `owner:expired(number)`
-- every so many seconds until `stop(number)`.
--
-- The engine keeps the time and how many there may be; here is who waits.

local host, lib = ...

local ops, E = host.ops, host.engine
local error, tonumber = error, tonumber

local timer = {}

-- By number; numbers are used again.
local owners = {}

function timer.start(seconds, owner)
  local number = tonumber(ops.timer_start(E, seconds))
  if number < 0 then error('too many timers', 0) end
  owners[number] = owner
  return number
end

function timer.stop(number)
  owners[number] = nil
  ops.timer_stop(E, number)
end

-- A rule may have been stopped between starting a timer and keeping it.
local function expired(number)
  local owner = owners[number]
  if not owner then return timer.stop(number) end
  owner:expired(number)
end

lib.dispatch.define(host.kinds.core.timer, { subject = 'script', decide = expired })

return timer
