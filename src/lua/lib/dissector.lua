-- Dissectors: the base class, the registry, and what all of them share.
--
-- A dissector written in Lua is a class made with `new`; native ones are
-- announced with `native`, which makes their events and policies while their
-- objects belong to other modules. Packet dissectors written in Lua are in
-- packet_dissector.lua.

local host, lib = ...

local type, pairs, tostring, error, xpcall = type, pairs, tostring, error, xpcall
local rawget, rawset, setmetatable = rawget, rawset, setmetatable
local byte, format, gsub = string.byte, string.format, string.gsub

local class = lib.class
local new_class, classof = class.class, class.classof
local isclass, isaclass = class.isclass, class.isaclass
local check_assert, check_error = lib.check.assert, lib.check.error
local Event = lib.event.Event
local StaticEventConnections = lib.event.StaticEventConnections
local ObjectEventConnections = lib.event.ObjectEventConnections
local context, new_policy = lib.context.context, lib.policy.new
local raise_alert, format_error = lib.alert.raise, lib.pprint.format_error
local log, lua_log = lib.log.of('dissector'), lib.log.of('lua')

local UNDERSCORE = byte('_')

local dissector = {}

-- Tables whose unknown names are errors at the line that reads them.
local function strict(what)
  return {
    __index = function (_, name)
      error(format("unkown %s '%s'", what, tostring(name)), 2)
    end,
  }
end
local strict_events, strict_policies = strict('event'), strict('policy')

-- `haka.dissectors`. An unknown name is only logged, so that a rule file can
-- ask whether a dissector is there.
dissector.dissectors = setmetatable({}, {
  __index = function (_, name)
    log.error('unknown dissector %s', tostring(name))
  end,
})

local function continue_emitter(emitter)
  emitter:continue()
end

-- Runs a streamed listener in its coroutine; the coroutines are those of
-- the stream library.
local function run_streamed(stream, fn, this, current, ...)
  if not lib.stream then error('streamed listeners need the stream library', 0) end
  local key = lib.stream.vbuffer_stream_comanager.hash(fn, this)
  lib.stream.run_streamed(stream:getcomanager(), key, fn, this, current, ...)
end

local function has_data(current)
  return current ~= nil and current:check_available(1)
end

-- How a streamed event calls one listener: see `Dissector.stream_wrapper`.
local function call_streamed(run, fn, options, self, stream, current, ...)
  if options and options.streamed then
    if has_data(current) or stream.isfinished then
      run(self, stream, fn, self, current, ...)
    end
  elseif has_data(current) then
    -- On a copy: the owner still has to pop from where `current` is.
    fn(self, current:copy():sub('available'), ...)
  end
end

local function run_native(_, stream, fn, this, current, ...)
  run_streamed(stream, fn, this, current, ...)
end

local function native_stream_wrapper(...)
  call_streamed(run_native, ...)
end

local Dissector = new_class('Dissector')
dissector.Dissector = Dissector

-- Statics that every class owns: copies of the parent's events under its
-- own name, policies, options, a registry for dynamic listeners, and the
-- field names that may be absent.
local function own_statics(cls, parent)
  local events = {}
  for name, event in pairs(parent and parent.events or {}) do
    events[name] = Event:new(format('%s:%s', cls.name, name), event.continue, event.signal)
  end
  cls.events = setmetatable(events, strict_events)
  cls.policies = setmetatable({
    next_dissector = new_policy(format('%s next dissector', cls.name)),
  }, strict_policies)
  cls.options = {}
  cls.connections = StaticEventConnections:new()
  cls.optional_fields = {}
  for name in pairs(parent and parent.optional_fields or {}) do
    cls.optional_fields[name] = true
  end
end

own_statics(Dissector)
Dissector.auto_state_machine = true

-- The hook is inherited, so that `self` is always the class derived from.
function Dissector:__class_init(cls)
  own_statics(cls, self)
end

function Dissector:register_event(name, continue, signal)
  rawset(self.events, name,
    Event:new(format('%s:%s', self.name, name), continue or continue_emitter, signal))
end

function Dissector:register_streamed_event(name, continue)
  self:register_event(name, continue, self.stream_wrapper)
end

-- A plain listener gets what is available now as one sub-buffer, and
-- nothing when there is nothing. A streamed one runs in its coroutine, which
-- is also told the end of the stream.
function Dissector.stream_wrapper(fn, options, self, stream, current, ...)
  call_streamed(self.streamed, fn, options, self, stream, current, ...)
end

function Dissector:available_fields(names)
  for _, name in pairs(names) do self.optional_fields[name] = true end
end

function Dissector:activate(parent)
  return self:new(parent)
end

function Dissector:create(parent, ...)
  local object = self:new(parent)
  object:create(parent, ...)
  return object
end

function Dissector.method:__init(parent)
  local cls = classof(self)
  rawset(self, '_parent', parent)
  if cls.state_machine and cls.auto_state_machine then
    rawset(self, '_state', cls.state_machine:instanciate(self))
  end
  context:register_connections(self:connections())
end

-- Dynamic connections to attach to the current scope on creation.
function Dissector.method:connections()
  local connections = classof(self).connections
  if connections:empty() then return nil end
  return ObjectEventConnections:new(self, connections)
end

Dissector.property.name = {
  get = function (self) return classof(self).name end,
}

Dissector.property.state = {
  get = function (self)
    local state = rawget(self, '_state')
    return state and state.current
  end,
}

local function may_be_absent(cls, name)
  if cls.optional_fields[name] then return true end
  local grammar = cls.grammar
  local declares = grammar and lib.grammar and lib.grammar.declares
  return declares and declares(grammar, name) or false
end

-- A field that this layer does not know is the parent's.
function Dissector.method:__index(name)
  if type(name) ~= 'string' or byte(name) == UNDERSCORE then return nil end
  local cls = classof(self)
  if may_be_absent(cls, name) then return nil end
  local parent = rawget(self, '_parent')
  if parent ~= nil then return parent[name] end
  error(format("unknown field '%s' on dissector '%s'", name, cls.name), 0)
end

function Dissector.method:parent(which)
  if which == nil then return rawget(self, '_parent') end
  local at = self
  if type(which) == 'number' then
    for _ = 1, which do
      if at == nil then return nil end
      at = at:parent()
    end
    return at
  end
  while at ~= nil and at.name ~= which do at = at:parent() end
  return at
end

function Dissector.method:trigger(name, ...)
  local event = rawget(classof(self).events, name)
  if not event then check_error(format("unkown event '%s'", tostring(name))) end
  context:signal(self, event, ...)
end

function Dissector.method:can_continue()
  check_error('not implemented')
end

function Dissector.method:continue()
  if not self:can_continue() then error() end
end

function Dissector.method:drop()
  check_error('not implemented')
end

function Dissector.method:send()
  check_error('not implemented')
end

function Dissector.method:create()
  check_error('not implemented')
end

function Dissector.method:error()
  self:drop()
end

function Dissector.method:alert(fields)
  local handle = raise_alert(fields)
  return handle
end

function Dissector.method:install_criterion()
  return {}
end

-- `next` is a class, a native dissector's descriptor, or an object.
function Dissector.method:select_next_dissector(next)
  rawset(self, '_next_dissector', next)
end

-- Whether it has to be activated before it can receive.
local descriptors = {}

function dissector.is_inactive(next)
  return isclass(next) or descriptors[next] == true
end
local is_inactive = dissector.is_inactive

function Dissector.method:activate_next_dissector()
  local next = rawget(self, '_next_dissector')
  if next == nil then return nil end
  if is_inactive(next) then
    next = next:activate(self)
    rawset(self, '_next_dissector', next)
  end
  return next
end

function Dissector.method:streamed(stream, fn, this, current, ...)
  run_streamed(stream, fn, this, current, ...)
end

-- Adds nothing; the type of dissectors that live as long as a flow.
dissector.FlowDissector = new_class('FlowDissector', Dissector)

local function publish(name, entry)
  rawset(dissector.dissectors, name, entry)
  if host.mode ~= 'console' then log.info("register new dissector '%s'", name) end
end

local function installer(descriptor)
  return function (_, ctx) ctx:select_next_dissector(descriptor) end
end

-- `haka.dissector.new{ name =, type = }`
function dissector.new(definition)
  check_assert(type(definition) == 'table', 'dissector parameter must be a table')
  local name, base = definition.name, definition.type
  check_assert(type(name) == 'string', 'no name defined for dissector')
  check_assert(base ~= nil, format("no type defined for dissector '%s'", name))
  check_assert(isaclass(base, Dissector), format("invalid type for dissector '%s'", name))
  check_assert(not rawget(dissector.dissectors, name),
    format("dissector '%s' already defined", name))
  local cls = new_class(name, base)
  publish(name, {
    policies = cls.policies,
    events = cls.events,
    create = function (parent, ...) return cls:create(parent, ...) end,
    install = installer(cls),
  })
  return cls
end

-- Announces a dissector of the engine: `name`; `events`, name -> {kind =
-- number, streamed = bool}; `policies`, name -> {title =, native = number}
-- (next_dissector is always there); `create`; `methods`, what its descriptor
-- answers (activate, receive). Returns the registry's entry and the
-- descriptor that `install` selects.
function dissector.native(definition)
  local name = definition.name
  check_assert(not rawget(dissector.dissectors, name),
    format("dissector '%s' already defined", name))

  local events = {}
  for key, wanted in pairs(definition.events or {}) do
    local event = Event:new(format('%s:%s', name, key), continue_emitter,
      wanted.streamed and native_stream_wrapper or nil)
    event._native = wanted.kind
    events[key] = event
  end

  local policies = { next_dissector = new_policy(format('%s next dissector', name)) }
  for key, wanted in pairs(definition.policies or {}) do
    local title = wanted.title or format('%s %s', name, (gsub(key, '_', ' ')))
    policies[key] = new_policy(title)
    policies[key]._native = wanted.native
  end

  local descriptor = { name = name, class = definition.class == true }
  for key, value in pairs(definition.methods or {}) do descriptor[key] = value end
  descriptor.events = setmetatable(events, strict_events)
  descriptor.policies = setmetatable(policies, strict_policies)
  descriptors[descriptor] = true

  local entry = {
    policies = policies,
    events = events,
    create = definition.create,
    install = installer(descriptor),
  }
  publish(name, entry)
  return entry, descriptor
end

-- Runs `fn(...)` with errors contained: a message is logged under the
-- dissector's name and handed to its `error`; an abort ends silently.
function dissector.protected(object, fn, ...)
  local ok, result = xpcall(fn, format_error, ...)
  if ok then return result end
  if result == nil then return nil end
  lua_log.error('%s: %s', object.name, tostring(result))
  return object:error()
end

function dissector.pcall(object, fn)
  return dissector.protected(object, fn)
end

local OPPOSITE = { up = 'down', down = 'up' }

function dissector.opposite_direction(direction)
  return OPPOSITE[direction]
end

return dissector
