-- The context: delivers events and holds the current scope.
--
-- A scope is per flow: data by namespace and the dynamic connections of the
-- dissectors that live in it.

local host, lib = ...

local error, xpcall, isa, format = error, xpcall, lib.class.isa, string.format
local new_class, check_assert = lib.class.class, lib.check.assert
local log_enabled, log, watch = host.log_enabled, host.log, lib.watch
local format_error = lib.pprint.format_error

local Event, EventConnections = lib.event.Event, lib.event.EventConnections
local StaticEventConnections = lib.event.StaticEventConnections

local DEBUG = 4

local Scope = new_class('Scope')

function Scope.method:__init()
  self._data = {}
  self._connections = {}
end

function Scope.method:createnamespace(key, data)
  self._data[key] = data
end

function Scope.method:namespace(key)
  return self._data[key]
end

local Context = new_class('Context')

function Context.method:__init()
  self.connections = StaticEventConnections:new()
end

-- The list is live: a listener added meanwhile is called as well. Any error,
-- the nil of an abort included, leaves at once.
local function deliver(connections, event, emitter, ...)
  local list = connections:listeners(event)
  if not list or #list == 0 then return end
  if log_enabled(DEBUG, 'event') then
    log(DEBUG, 'event', format("signal '%s', %d listeners", event.name, #list))
  end
  local signal, continue = event.signal, event.continue
  local span = watch and watch.begin(watch.signal(event), -1)
  local i = 1
  while i <= #list do
    local listener = list[i]
    local token = watch and watch.begin(watch.listener(listener, i), -1)
    signal(connections:callee(listener), listener.options, emitter, ...)
    if token then watch.done(token) end
    continue(emitter, ...)
    i = i + 1
  end
  if span then watch.done(span) end
end

function Context.method:signal(emitter, event, ...)
  check_assert(isa(event, Event), 'event expected')
  deliver(self.connections, event, emitter, ...)
  local scope = self.scope
  if scope then
    local dynamic = scope._connections
    local i = 1
    while i <= #dynamic do
      deliver(dynamic[i], event, emitter, ...)
      i = i + 1
    end
  end
  return true
end

function Context.method:newscope()
  return Scope:new()
end

function Context.method:exec(scope, fn)
  local previous = self.scope
  self.scope = scope
  local ok, err = xpcall(fn, format_error)
  self.scope = previous
  if not ok then error(err, 0) end
end

-- Attaches dynamic connections to the current scope.
function Context.method:register_connections(connections)
  if connections == nil then return end
  check_assert(isa(connections, EventConnections), 'event connections expected')
  if connections:empty() then return end
  check_assert(self.scope, 'scope required to register dynamic event connections')
  local dynamic = self.scope._connections
  dynamic[#dynamic + 1] = connections
end

return { context = Context:new(), Scope = Scope, Context = Context }
