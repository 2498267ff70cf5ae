-- What states are made of: the words of a state machine's definition.
--
-- A state collects actions, by name of event and in the order in which they
-- were written; what becomes of them is decided by state_machine.lua when the
-- definition has ended.

local _, lib = ...

local type, error, pairs, ipairs, rawget, rawset, setmetatable, getmetatable, tostring =
  type, error, pairs, ipairs, rawget, rawset, setmetatable, getmetatable, tostring
local format, getinfo = string.format, debug.getinfo

local class = lib.class
local new_class, isa, isaclass, classof = class.class, class.isa, class.isaclass, class.classof
local check_assert, check_error = lib.check.assert, lib.check.error

local types = {}

-- Events that the machine raises itself; none can be triggered by hand.
local BUILT_IN = { fail = true, enter = true, leave = true, init = true, finish = true,
  timeout = true }
types.built_in = BUILT_IN

-- Descriptors of events: `events.push`, `events.timeout(30)`.
local Descriptor = {}

local function descriptor(name, seconds)
  return setmetatable({ name = name, seconds = seconds }, Descriptor)
end

local function is_descriptor(value)
  return type(value) == 'table' and getmetatable(value) == Descriptor
end

local function timeout(seconds)
  if type(seconds) ~= 'number' or not (seconds > 0) then check_error('invalid timer delay') end
  return descriptor('timeout', seconds)
end

types.events = setmetatable({}, {
  __index = function (_, name)
    if name == 'timeout' then return timeout end
    return descriptor(name)
  end,
  __newindex = function () error('events is a read only table', 2) end,
})

-- Who takes actions: states, and `any`.
local ActionCollection = new_class('ActionCollection')
types.ActionCollection = ActionCollection

local State = new_class('State', ActionCollection)
types.State = State
State._events = { 'fail', 'enter', 'leave', 'init', 'finish', 'timeout' }

-- The events of a class are its own and those of its ancestors.
function types.events_of(cls)
  local known = {}
  while cls do
    for _, name in pairs(rawget(cls, '_events') or {}) do known[name] = true end
    cls = rawget(cls, 'super')
  end
  return known
end

-- The targets of `jump` that are no states of the machine.
types.fail, types.finish = State:new(), State:new()
rawset(types.fail, '_name', 'fail')
rawset(types.finish, '_name', 'finish')

function types.is_state(value)
  return type(value) == 'table' and isa(value, State)
end

function ActionCollection.method:has_event()
  return true
end

function State.method:has_event(name)
  return types.events_of(classof(self))[name] == true
end

local function place(level)
  local info = getinfo(level + 1, 'Sl')
  return format('%s:%d', info.short_src, info.currentline)
end

local function events_of_action(action)
  local events = action.events
  if events == nil then
    if not is_descriptor(action.event) then check_error('action must have an event', 1) end
    return { action.event }
  end
  if type(events) ~= 'table' or is_descriptor(events) then
    check_error('events must be a table of event', 1)
  end
  for _, event in ipairs(events) do
    if not is_descriptor(event) then check_error('events must be a table of event', 1) end
  end
  if #events == 0 then check_error('action must have an event', 1) end
  return events
end

-- `state:on{ event =, events =, when =, execute =, jump = }`
function ActionCollection.method:on(action)
  check_assert(type(action) == 'table', 'action must be a table')
  local when, execute, jump = action.when, action.execute, action.jump
  check_assert(when == nil or type(when) == 'function', 'when must be a function')
  check_assert(execute == nil or type(execute) == 'function', 'execute must be a function')
  check_assert(jump == nil or types.is_state(jump), 'can only jump on defined state')
  check_assert(execute or jump, 'action must have either an execute or a jump')

  local actions = rawget(self, '_actions')
  if not actions then
    actions = {}
    rawset(self, '_actions', actions)
  end
  local at = place(2)
  local events = events_of_action(action)
  for _, event in ipairs(events) do
    if not self:has_event(event.name) then
      check_error(format("unknown event '%s'", tostring(event.name)))
    end
  end
  for _, event in ipairs(events) do
    actions[#actions + 1] = { event = event.name, seconds = event.seconds, when = when,
      execute = execute, jump = jump, place = at }
  end
end

function State.method:update()
  error('unimplemented update function', 0)
end

-- `haka.state_machine.new_state_type{ name =, parent =, events =, update = }`
function types.new_state_type(description)
  check_assert(type(description) == 'table', 'state type description must be a table')
  local parent = description.parent or State
  check_assert(isaclass(parent, State), 'parent of a state type must be a state type')
  local events, update = description.events or {}, description.update
  check_assert(type(events) == 'table', 'events must be a table of names')
  check_assert(update == nil or type(update) == 'function', 'update must be a function')
  local cls = new_class(description.name or 'AnonymousState', parent)
  cls._events = events
  if update then cls.method.update = update end
  return cls
end

-- The class that `state_type` means.
function types.state_class(description)
  if type(description) == 'table' then
    if isaclass(description, State) then return description end
    if not class.isclass(description) then return types.new_state_type(description) end
  end
  check_error('state type must be either a table or an existing state type', 1)
end

-- States that parse ------------------------------------------------------------

local Bidirectional = new_class('BidirectionalState', State)
types.BidirectionalState = Bidirectional
Bidirectional._events = { 'up', 'down', 'parse_error', 'missing_grammar' }

local function is_entity(value)
  local grammar = lib.grammar
  return grammar ~= nil and grammar.is_entity(value)
end

function Bidirectional.method:__init(up, down)
  for _, entity in pairs { up, down } do
    check_assert(is_entity(entity),
      'bidirectionnal state expect an exported element of a grammar', 1)
  end
  rawset(self, '_grammars', { up = up, down = down })
end

-- Parses one element of the direction's grammar; its result is the event.
function Bidirectional.method:update(machine, iter, direction, ...)
  local entity = self._grammars[direction]
  if not entity then
    machine:trigger('missing_grammar', direction, iter, ...)
    return
  end
  local result, err = entity:parse(iter, machine.owner)
  if err then
    machine:trigger('parse_error', err, ...)
  else
    machine:trigger(direction, result, ...)
  end
end

return types
