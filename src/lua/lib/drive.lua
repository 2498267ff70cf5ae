-- Nested events: runs the engine for an operation of a rule.
--
-- Sending, dropping and resetting raise events of their own. The operation
-- is only begun by a call; the loop here takes the engine step by step and
-- delivers what it raises, until the work of this operation is done.

local host, lib = ...

local ops, E = host.ops, host.engine
local error, xpcall = error, xpcall
local format_error = lib.pprint.format_error
local enter, leave, step = ops.enter, ops.leave, ops.step

local drive = {}

-- Operations under way, innermost last: what `leave` needs, and a serial
-- number that tells whether the one that runs is still the same.
local floors, serials, depth, serial = {}, {}, 0, 0

-- `deliver(kind)`, set by the dispatcher.
function drive.deliver() end

function drive.depth()
  return depth
end

function drive.enter()
  return enter(E)
end

local function loop()
  local own, number = depth, serials[depth]
  local deliver = drive.deliver
  local kind = step(E)
  while kind >= 0 do
    deliver(kind)
    -- A rule may have yielded in here and gone on when all was over.
    if depth ~= own or serials[own] ~= number then error('operation abandoned', 0) end
    kind = step(E)
  end
end

-- Ends all operations above `to`, which nobody will finish.
function drive.abandon(to)
  if depth <= to then return false end
  leave(E, floors[to + 1])
  depth = to
  return true
end

-- Finishes an operation that was begun with `status` after `enter` gave
-- `floor`.
function drive.run(floor, status, what)
  if status ~= 0 then
    leave(E, floor)
    return lib.native.check(status, what)
  end
  local state = lib.native.st
  local kind, cur, stop, slot, flow = state.kind, state.cur, state.stop, state.slot, state.flow
  serial = serial + 1
  depth = depth + 1
  local own, number = depth, serial
  floors[own], serials[own] = floor, number
  local ok, message = xpcall(loop, format_error)
  -- Unless somebody else has ended this operation.
  if depth >= own and serials[own] == number then
    leave(E, floor)
    depth = own - 1
  end
  if not ok and not state.fault then
    -- Where it happened, in case that nobody catches it.
    state.fault = { message = message, kind = state.kind, cur = state.cur }
  end
  state.kind, state.cur, state.stop, state.slot, state.flow = kind, cur, stop, slot, flow
  if not ok then error(message, 0) end
end

return drive
