-- Events and the registries of who listens to them.
--
-- An event is a name, a `signal` (how one listener is called) and a
-- `continue` (what is checked after each listener). Events that the engine
-- raises carry `_native`, their kind's number: the host is told when somebody
-- begins to listen. Delivery is `context.signal`, or code that the host
-- generates from `connections:listeners(event)`.

local host, lib = ...

local type, setmetatable, error, getinfo = type, setmetatable, error, debug.getinfo
local format = string.format

local new_class, isa = lib.class.class, lib.class.isa
local check_assert = lib.check.assert

local event = {}

local Event = new_class('Event')
event.Event = Event

local function call_listener(fn, _, emitter, ...)
  fn(emitter, ...)
end

local function always()
end

function Event.method:__init(name, continue, signal)
  self.name = name
  self.continue = continue or always
  self.signal = signal or call_listener
end

-- Marker for `event.method`: the object the registry is later bound to.
event.self = setmetatable({}, { __tostring = function () return 'haka.event.self' end })

-- Methods that wait for their object: the wrapper that was registered -> the
-- function. Values do not refer to their keys, so that weak keys do collect.
local unbound = setmetatable({}, { __mode = 'k' })

-- A listener that receives `object` before the event's own arguments.
function event.method(object, fn)
  check_assert(type(fn) == 'function', 'function expected')
  if object ~= event.self then
    return function (...) return fn(object, ...) end
  end
  local function wrapper()
    error('event method is bound to no object', 0)
  end
  unbound[wrapper] = fn
  return wrapper
end

local EventConnections = new_class('EventConnections')
event.EventConnections = EventConnections

function EventConnections.method:listeners()
  error('not implemented', 2)
end

-- What a listener of this registry is really called with.
function EventConnections.method:callee(listener)
  return listener.fn
end

local StaticEventConnections = new_class('StaticEventConnections', EventConnections)
event.StaticEventConnections = StaticEventConnections

function StaticEventConnections.method:__init()
  self._listeners = {}
  self._events = {}
end

-- The live list of an event's listeners in registration order: records of
-- fn, options, location (`file:line`), name and group (whether it is a rule
-- group). Later registrations append to this very table.
function StaticEventConnections.method:listeners(of)
  local list = self._listeners[of]
  if not list then
    list = {}
    self._listeners[of] = list
    self._events[#self._events + 1] = of
  end
  return list
end

-- Events in the order in which they were first asked for, with their lists.
function StaticEventConnections.method:each()
  local i = 0
  return function ()
    i = i + 1
    local of = self._events[i]
    if of then return of, self._listeners[of] end
  end
end

function StaticEventConnections.method:empty()
  for _, list in self:each() do
    if #list > 0 then return false end
  end
  return true
end

local function listens(list, fn)
  for i = 1, #list do
    if list[i].fn == fn then return true end
  end
  return false
end

-- `origin` says where a rule or group was written; without it the place of
-- the call is used.
function StaticEventConnections.method:register(on, fn, options, origin)
  check_assert(isa(on, Event), 'event expected')
  check_assert(type(fn) == 'function', 'function expected')
  local list = self:listeners(on)

  -- A streamed listener's coroutine is found by its function, so that a
  -- second registration of the same one needs a function of its own.
  if options and options.streamed and listens(list, fn) then
    local original = fn
    fn = function (...) return original(...) end
  end

  local location = origin and origin.location
  if not location then
    local info = getinfo(2, 'Sl')
    location = format('%s:%d', info.short_src, info.currentline)
  end
  list[#list + 1] = {
    fn = fn,
    options = options,
    location = location,
    name = origin and origin.name,
    group = origin ~= nil and origin.group == true,
  }
  if on._native then host.hooked(on._native) end
end

local ObjectEventConnections = new_class('ObjectEventConnections', EventConnections)
event.ObjectEventConnections = ObjectEventConnections

function ObjectEventConnections.method:__init(object, connections)
  check_assert(isa(connections, StaticEventConnections), 'event connections expected', 1)
  self._object = object
  self._connections = connections
  self._bound = {}
end

function ObjectEventConnections.method:listeners(of)
  return self._connections._listeners[of]
end

function ObjectEventConnections.method:empty()
  return self._connections:empty()
end

-- One function per listener and object: streamed listeners are told apart
-- by it.
function ObjectEventConnections.method:callee(listener)
  local fn = unbound[listener.fn]
  if not fn then return listener.fn end
  local bound = self._bound[listener]
  if not bound then
    local object = self._object
    bound = function (...) return fn(object, ...) end
    self._bound[listener] = bound
  end
  return bound
end

-- Plain table: an unknown name reads nil.
event.events = {
  started = Event:new('started'),
  exiting = Event:new('exiting'),
}

return event
