-- Instances of state machines: where a machine stands, and how it moves.
--
-- Events go straight to the function that the current node has for them. The
-- machine's own callbacks (enter, leave, init, finish, fail, timeouts) run
-- protected: an error is logged and the machine fails, an abort finishes it.
-- They may not wait for bytes; ordinary events may.
--
-- While a machine waits for a timeout it is kept alive, with its owner, until
-- it moves on, finishes, or the flow it belongs to ends.

local host, lib = ...

local error, format, ipairs, pcall, rawget, rawset, setmetatable, tostring, type, xpcall =
  error, string.format, ipairs, pcall, rawget, rawset, setmetatable, tostring, type, xpcall
local log_enabled, log = host.log_enabled, host.log
local format_error, lua_log = lib.pprint.format_error, lib.log.of('lua')
local context = lib.context.context
-- Which coroutine may not wait now; see iterator.lua.
local reading = lib.iterator and lib.iterator.reading or {}

local DEBUG = 4

local instances = {}

-- The targets that are no states.
local FAIL, FINISH = { name = 'fail' }, { name = 'finish' }
instances.FAIL, instances.FINISH = FAIL, FINISH

local function say(instance, text, ...)
  if log_enabled(DEBUG, 'states') then
    log(DEBUG, 'states', format('%s: ' .. text, instance._machine.name, ...))
  end
end

-- Instances whose callbacks run now, innermost last: those that fail when
-- the rule is stopped in there.
local running, depth = {}, 0

-- Runs a callback of the machine's own: the target of the jump it took, if
-- any, and whether that comes from an error.
local function protected(instance, run)
  local held = reading.held
  reading.held = reading.reader
  depth = depth + 1
  running[depth] = instance
  local ok, target = xpcall(run, format_error, instance)
  running[depth] = nil
  depth = depth - 1
  reading.held = held
  if ok then return target, false end
  if target == nil then return FINISH, true end
  lua_log.error('state machine: %s', tostring(target))
  return FAIL, true
end

local function callback(instance, node, name)
  local run = node[name]
  if not run then return nil, false end
  say(instance, "%s transition on state '%s'", name, node.name)
  local target, raised = protected(instance, run)
  return target, raised
end

-- Timeouts --------------------------------------------------------------------

local Waiter = {}
Waiter.__index = Waiter

local function stop_timers(instance)
  local timers = instance._timers
  if not timers then return end
  instance._timers = false
  for _, number in ipairs(timers) do lib.timer.stop(number) end
end

local function arm(instance, node)
  for _, timeout in ipairs(node.timeouts) do
    local waiter = setmetatable({ instance = instance, run = timeout.run }, Waiter)
    local timers = instance._timers
    timers[#timers + 1] = lib.timer.start(timeout.seconds, waiter)
  end
end

-- Starts the timers of a node that has been entered. A machine that cannot
-- be woken fails.
local function start_timers(instance, node)
  if #node.timeouts == 0 or instance._closed then return nil end
  instance._timers = {}
  local ok, message = pcall(arm, instance, node)
  if ok then return nil end
  lua_log.error('state machine: %s', tostring(message))
  return FAIL
end

-- Moving ----------------------------------------------------------------------

-- The end. `left`: the state's `leave` has run already.
local function finish(instance, failed, left)
  local node = instance._at
  stop_timers(instance)
  instance._ending = true
  if failed then
    instance.failed = true
    callback(instance, node, 'fail')
  end
  if not left then
    local target, raised = callback(instance, node, 'leave')
    if raised and target == FAIL then instance.failed = true end
  end
  say(instance, "finish from state '%s'", node.name)
  instance._at, instance.current, instance.finished = false, nil, true
  local target, raised = callback(instance, node, 'finish')
  if raised and target == FAIL then instance.failed = true end
end

-- Moves to a state and on, as long as entering takes a jump. A callback that
-- moves the machine itself ends this move: `serial` tells.
local function move(instance, target)
  local serial = instance._serial + 1
  instance._serial = serial
  while true do
    local from = instance._at
    if target == FAIL then return finish(instance, true, false) end
    stop_timers(instance)
    if target ~= FINISH then
      say(instance, "transition from state '%s' to state '%s'", from.name, target.name)
    end
    local other = callback(instance, from, 'leave')
    if instance._serial ~= serial then return end
    if other and other ~= FAIL and other ~= FINISH then
      say(instance, "transition to state '%s'", other.name)
    end
    target = other or target
    if target == FAIL or target == FINISH then return finish(instance, target == FAIL, true) end
    instance._at, instance.current = target, target.name
    local next = callback(instance, target, 'enter')
    if instance._serial ~= serial then return end
    next = next or start_timers(instance, target)
    if not next then return end
    target = next
  end
end

-- What the jump of an action does. One that comes when all is over, or while
-- it ends, has nowhere to go.
function instances.jump(instance, target)
  if instance.finished or instance._ending then return end
  move(instance, target)
end
local jump = instances.jump

function Waiter:expired()
  local instance = self.instance
  local flow = instance._flow
  if flow then
    if not flow:can_continue() then return stop_timers(instance) end
    context.scope = rawget(flow, '_scope')
  end
  say(instance, "timeout trigger on state '%s'", instance.current)
  local target = protected(instance, self.run)
  if target then jump(instance, target) end
  context.scope = nil
end

-- Instances -------------------------------------------------------------------

local methods = {}
local Instance = { __index = methods, __name = 'state_machine_instance' }
Instance.__metatable = { __name = Instance.__name }

local FINISHED = 'state machine instance has finished'

function methods.update(instance, ...)
  local at = instance._at
  if not at then error(FINISHED, 0) end
  at.update(at.state, instance, ...)
end

function methods.trigger(instance, event, ...)
  local at = instance._at
  if not at then error(FINISHED, 0) end
  local run = at.run[event]
  if run then
    run(instance, ...)
  elseif not at.known[event] then
    error(format("no event named '%s' on state '%s'", tostring(event), at.name), 0)
  end
end

function methods.finish(instance)
  if instance.finished or instance._ending then error(FINISHED, 0) end
  move(instance, FINISH)
end

-- The machines of a flow are told when it ends: nobody will wake them.
local function belong_to_flow(instance, owner)
  local flow = lib.flow and lib.flow.below(owner)
  if not flow then return end
  instance._flow = flow
  local list = rawget(flow, '_machines')
  if not list then
    list = {}
    rawset(flow, '_machines', list)
    lib.dispatch.want(host.kinds[flow.name].end_connection)
  end
  list[#list + 1] = instance
end

local function enter_initial(instance, node)
  say(instance, "initial state '%s'", node.name)
  instance._at, instance.current = node, node.name
  local target = callback(instance, node, 'enter')
  if instance.finished or instance._serial > 0 then return end
  target = target or start_timers(instance, node)
  if target then move(instance, target) end
end

function instances.start(machine, owner)
  local instance = setmetatable({
    owner = owner, states = machine.states, finished = false, failed = false,
    _machine = machine, _at = false, _serial = 0, _timers = false, _ending = false,
    _flow = false, _closed = false,
  }, Instance)
  -- Where Haka keeps what its tests look at.
  instance._instance = instance
  if machine.timed then belong_to_flow(instance, owner) end
  enter_initial(instance, machine.initial)
  if not instance.finished then
    local target, raised = callback(instance, instance._at, 'init')
    if raised then jump(instance, target) end
  end
  return instance
end

-- For the engine ----------------------------------------------------------------

local function close(instance)
  instance._closed = true
  stop_timers(instance)
end

function instances.flow_ended(flow)
  local list = rawget(flow, '_machines')
  if not list then return end
  rawset(flow, '_machines', nil)
  for _, instance in ipairs(list) do close(instance) end
end

-- A rule was stopped, perhaps in the middle of a callback: no more of its
-- code runs, but those machines have failed.
function instances.interrupted()
  for k = 1, depth do
    local instance = running[k]
    running[k] = nil
    instance._at, instance.current = false, nil
    instance.finished, instance.failed = true, true
    close(instance)
  end
  depth = 0
  reading.held, reading.reader = false, false
end

return instances
