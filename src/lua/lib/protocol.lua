-- Announcing the engine's dissectors, and loading them when a rule asks.
--
-- A protocol's file beside its Rust code returns a function that is run at
-- the first `require`: it makes the objects, announces the dissector and
-- answers what `require` gives. Files are compiled before the sandbox is
-- sealed, so that rules cannot change what they are made of.

local host, lib = ...

local native, dispatch = lib.native, lib.dispatch
local announce, is_inactive = lib.dissector.native, lib.dissector.is_inactive
local ops, E, current = host.ops, host.engine, host.current
local check, alive = native.check, native.alive
local error, ipairs, pairs, rawget, rawset, floor = error, ipairs, pairs, rawget, rawset, math.floor
local find, setmetatable, type = string.find, setmetatable, type

local protocol = {}

-- Descriptors of native dissectors, as `install` selects them.
local natives = {}

function protocol.is_native(next)
  return natives[next] == true
end

local LAYERS = { [0] = 'link', 'vlan', 'pppoe', 'mpls', 'tunnel', 'ipv4', 'ipv6', 'icmp',
  'icmpv6', 'tcp', 'udp' }
local FAULTS = { [0] = 'truncated', 'wrong version', 'wrong header length', 'wrong length',
  'malformed options', 'too many headers', 'impossible fragment' }

-- What listeners of `protocol_error` learn of the fault.
local function fault_of()
  local detail = current.detail
  local layer = LAYERS[floor(detail / 256)] or 'link'
  local what = FAULTS[detail % 256] or 'malformed'
  return setmetatable({
    layer = layer,
    fault = what,
    offset = current.fresh,
    description = layer .. ' header: ' .. what,
  }, { __tostring = function (self) return rawget(self, 'description') end })
end

local function events_of(name)
  local events = {}
  for key, kind in pairs(host.kinds[name]) do
    if not find(key, '^policy:') then events[key] = { kind = kind } end
  end
  return events
end

-- What the engine is told of a choice, as in `core::next`.
local NONE, NATIVE, SCRIPTED = 0, 1, 2

-- Asks the policy for the dissector of a packet's payload, and runs one that
-- is written in Lua.
local function decide_next(o, policy, values)
  rawset(o, '_next_dissector', nil)
  policy:evaluate(o, values, {})
  if not alive(o) then return end
  local next = rawget(o, '_next_dissector')
  local number = next == nil and NONE or natives[next] and NATIVE or SCRIPTED
  check(ops.choose(E, o[0], o[1], number), 'packet')
  if number ~= SCRIPTED then return end
  if is_inactive(next) and next.receive then return next:receive(o) end
  return o:activate_next_dissector():preceive()
end

-- Announces a packet dissector: `kind` of native.lua; `values(o)` for its
-- next_dissector policy; `create`.
function protocol.packet(kind, definition)
  local name = kind.name
  local numbers = host.kinds[name]
  local entry, descriptor = announce {
    name = name,
    events = events_of(name),
    policies = { next_dissector = { native = numbers['policy:next_dissector'] } },
    create = definition.create,
    methods = {
      receive = function () error('operation not supported', 0) end,
    },
  }
  kind.entry, natives[descriptor] = entry, true

  local object, shows = kind.object, { native.row(kind) }
  for key, number in pairs(numbers) do
    if key == 'protocol_error' then
      dispatch.define(number, { subject = 'packet', event = entry.events[key], form = 'fault',
        shows = shows, prepare = function (slot) return object(slot), fault_of() end })
    elseif key == 'policy:next_dissector' then
      local policy, values = entry.policies.next_dissector, definition.values
      dispatch.define(number, { subject = 'packet',
        decide = function (slot)
          local o = object(slot)
          return decide_next(o, policy, values(o, slot))
        end })
    else
      dispatch.define(number, { subject = 'packet', event = entry.events[key], form = 'packet',
        shows = shows, make = function (constructor) return constructor end })
    end
  end
  return entry
end

-- Announces a flow dissector: `forms`, event -> {form =, prepare =, after =}
-- and so on; `policies`, name -> {title =, kind =}; `attach(flow)` for one
-- that a flow's policy `next_dissector` can choose.
function protocol.flow(kind, definition)
  local name = kind.name
  local numbers = host.kinds[name]
  local policies = { next_dissector = { native = numbers['policy:next_dissector'] } }
  for key, policy in pairs(definition.policies) do
    policies[key] = { title = policy.title, native = policy.kind }
  end
  local entry, descriptor = announce {
    name = name, events = events_of(name), policies = policies,
    methods = { attach = definition.attach },
  }
  kind.entry, natives[descriptor] = entry, true
  for key, form in pairs(definition.forms) do
    form.subject, form.event = 'flow', entry.events[key]
    dispatch.define(numbers[key], form)
  end
  return entry
end

-- Asks the policy for the dissector of a flow. False if no entry of it
-- applies.
function protocol.decide_flow(o, policy, script)
  rawset(o, '_next_dissector', nil)
  local decided = policy:evaluate(o, { port = o.dstport }, {})
  local next = rawget(o, '_next_dissector')
  if next == nil or not o:can_continue() then return decided end
  if not natives[next] then
    script(o, next)
  elseif next.attach then
    next.attach(o)
  end
  return true
end

-- Entries that modules make are built in: the engine follows them without
-- asking.
function protocol.builtin(entries)
  local before = host.builtin
  host.builtin = true
  for _, entry in ipairs(entries) do lib.policy(entry) end
  host.builtin = before
end

-- Networks and transports may be loaded in any order: each pair of them gets
-- its policy entry once.
local networks, transports = {}, {}

local function connect(network, transport)
  protocol.builtin { {
    on = network.policies.next_dissector, name = transport.name, proto = transport.proto,
    action = transport.entry.install,
  } }
end

function protocol.add_network(entry)
  networks[#networks + 1] = entry
  for _, transport in ipairs(transports) do
    if not transport.only then connect(entry, transport) end
  end
end

-- `only` names the one network below a protocol that has just one.
function protocol.add_transport(name, proto, entry, only)
  local transport = { name = name, proto = proto, entry = entry, only = only }
  transports[#transports + 1] = transport
  for _, network in ipairs(networks) do
    if not only or network == only then connect(network, transport) end
  end
end

-- Modules -----------------------------------------------------------------------

local loaded = {}

-- The result of a module of the engine, by the name that `require` takes.
function protocol.load(name)
  local result = loaded[name]
  if result ~= nil then return result end
  local module = host.modules[name]
  for _, needed in ipairs(module.needs) do protocol.load(needed) end
  local chunk = lib[module.chunk]
  if type(chunk) == 'table' then chunk = chunk[module.name] end
  local value = chunk()
  if module.bit > 0 then ops.load(E, module.bit) end
  if value == nil then value = true end
  loaded[name] = value
  return value
end

-- What a module gave when it was required, or nil.
function protocol.loaded(name)
  return loaded[name]
end

-- Loaders for `package.preload`.
function protocol.preload()
  local loaders = {}
  for name in pairs(host.modules) do
    loaders[name] = function () return protocol.load(name) end
  end
  return loaders
end

return protocol
