-- What native dissectors over TCP streams have in common for rules: the
-- object of a connection, its life, and what it inherits from the flow.
--
-- The object lives with the flow object; the flow is its parent and answers
-- what it does not know itself. Keys of its own begin with a blank.

local host, lib = ...

local native, protocol, data = lib.native, lib.protocol, lib.flow_data
local ops, E, current = host.ops, host.engine, host.current
local byte, format = string.byte, string.format
local error, getmetatable, pairs, rawget, rawset, setmetatable, tostring, type =
  error, getmetatable, pairs, rawget, rawset, setmetatable, tostring, type

local UNDERSCORE = byte('_')
local DIRECTIONS = { [0] = 'up', [1] = 'down' }

local application = {}

local common = {}

function common.can_continue(o)
  return o[' f']:can_continue()
end

function common.continue(o)
  if not o[' f']:can_continue() then error() end
end

function common.drop(o)
  local flow = o[' f']
  if flow:can_continue() then flow:drop() end
end

common.error = common.drop

function common.reset(o)
  local flow = o[' f']
  if flow:can_continue() then flow:reset() end
end

function common.parent(o, which)
  local flow = o[' f']
  if which == nil then return flow end
  if which == 0 or which == o.name then return o end
  if type(which) == 'number' then return flow:parent(which - 1) end
  return flow:parent(which)
end

function common.alert(_, fields)
  local handle = lib.alert.raise(fields)
  return handle
end

-- Completes a kind: `name`, `getters` and `methods` (name -> function of the
-- object), `attributes` (what can be printed), `fresh(o)` for new objects.
-- Gives it `object(slot)` and `known(slot)`. `flow_object(slot)` where not all
-- are of TCP.
function application.kind(kind)
  local name, getters, methods = kind.name, kind.getters, kind.methods
  function getters.name() return name end
  function getters._parent(o) return o[' f'] end
  for key, method in pairs(common) do
    if methods[key] == nil then methods[key] = method end
  end
  function methods.trigger(o, event_name, ...)
    local event = rawget(kind.entry.events, event_name)
    if not event then error(format("unkown event '%s'", tostring(event_name)), 2) end
    lib.context.context:signal(o, event, ...)
  end

  local meta = { __name = name, __class = true, __attributes = kind.attributes }
  function meta.__index(o, key)
    local get = getters[key]
    if get then
      local value = get(o)
      return value
    end
    local method = methods[key]
    if method then return method end
    if type(key) ~= 'string' or byte(key) == UNDERSCORE then return nil end
    -- A field that this layer does not know is the connection's.
    local value = o[' f'][key]
    return value
  end
  function meta.__newindex(o, key, value)
    if getters[key] or methods[key] then error('This variable is immutable', 0) end
    rawset(o, key, value)
  end
  meta.__metatable = { __name = name, __class = true, __attributes = kind.attributes }
  local announced = meta.__metatable

  local own_flow = kind.flow_object
  local function flow_object(slot)
    if own_flow then
      local flow = own_flow(slot)
      return flow
    end
    local flow = lib.tcp_flow.object(slot)
    return flow
  end

  -- The object of a connection, unless there is none, or of another kind.
  function kind.known(slot)
    local o = rawget(flow_object(slot), '_application')
    if o and getmetatable(o) == announced then return o end
  end

  function kind.object(slot)
    local flow = flow_object(slot)
    local o = rawget(flow, '_application')
    if o and getmetatable(o) == announced then return o end
    -- Another dissector went before, on a connection that was handed over.
    if o then data.close(o) end
    o = { [' f'] = flow }
    if kind.fresh then kind.fresh(o) end
    setmetatable(o, meta)
    rawset(flow, '_application', o)
    return o
  end
  return kind
end

-- Announces the dissector: `forms` and `policies` as `protocol.flow` takes
-- them. The policy `next_dissector` of connections chooses it on the ports
-- of its row, as the engine does by itself.
function application.announce(kind, definition)
  local module = host.modules['protocol/' .. kind.name]
  local entry = protocol.flow(kind, {
    policies = definition.policies or {},
    forms = definition.forms,
    attach = function (flow)
      native.check(ops.flow_dissect(E, flow[0], flow[1], module.bit), kind.name)
    end,
  })
  local connection = rawget(lib.dissector.dissectors, 'tcp_connection')
  for i = 1, #module.ports do
    local chosen = connection.policies.next_dissector
    protocol.builtin { { on = chosen, name = kind.name, port = module.ports[i],
      action = entry.install } }
  end
  return entry
end

-- The direction of the event under way, as listeners are told it.
function application.direction()
  return DIRECTIONS[current.direction]
end

return application
