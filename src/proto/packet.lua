-- The packet dissector: whole captured frames, before any header.

local host, lib = ...

local native, protocol = lib.native, lib.protocol
local ops, E = host.ops, host.engine
local P, PACKET_MASK = host.packets, host.packet_mask
local band, floor, tonumber, type, error = bit.band, math.floor, tonumber, type, error
local rawget, rawset = rawget, rawset
local new_time = lib.time.new

local NORMAL, FORGED = 1, 2

-- Packets are readable after they were sent, for as long as they are there.
local function record(o)
  local r = P[band(o[0], PACKET_MASK)]
  if r.generation ~= o[1] then error('invalid packet', 0) end
  return r
end

local getters, methods = {}, {}

function getters.id(o)
  return tonumber(record(o).id)
end

function getters.timestamp(o)
  local at = record(o).timestamp
  local secs = floor(tonumber(at / 1000000000))
  return new_time(secs, tonumber(at - secs * 1000000000LL))
end

-- A table for rules, the same as long as the packet is there.
function getters.data(o)
  record(o)
  local data = rawget(o, '_data')
  if not data then
    data = {}
    rawset(o, '_data', data)
    native.packet.keep(o)
  end
  return data
end

function getters.payload(o)
  return native.payload(o, native.LINK, 'packet')
end

function getters._next_dissector(o)
  return rawget(o, '_next_dissector')
end

function methods.state(o)
  local state = record(o).state
  return state == NORMAL and 'normal' or state == FORGED and 'forged' or 'sent'
end

function methods.issent(o)
  return not native.alive(o)
end

local function name_of(slot)
  local version = P[band(slot, PACKET_MASK)].ip_version
  if version == 4 then return 'ipv4' end
  if version == 6 and native.networks[6] then return 'ipv6' end
  return nil
end

-- `create(size)`, or as dissectors are called: `create(nil, size)`.
local function create(first, second)
  local size = type(first) == 'number' and first or second or 0
  if type(size) ~= 'number' then error("Error in packet (arg 1), expected 'number'", 2) end
  if size < 0 then error('number must not be negative', 2) end
  local slot = tonumber(ops.packet_create(E, size))
  if slot < 0 then native.check(-slot, 'packet') end
  return native.packet.object(slot)
end

return function ()
  local kind = native.kind {
    name = 'packet', layer = native.LINK, getters = getters, methods = methods,
    attributes = { 'data', 'id', 'payload', 'timestamp' },
  }
  native.packet = kind
  local entry = protocol.packet(kind, {
    create = create,
    values = function (_, slot) return { proto = name_of(slot) or 'unknown' } end,
  })

  local policy = lib.policy
  local function unknown_dissector(_, ctx, values)
    lib.alert.alert { description = "dropping unknown dissector '" .. values.proto .. "'" }
    ctx:drop()
  end
  local refuse = host.defaults.drop_unknown_dissector
  protocol.builtin {
    { on = entry.policies.next_dissector, name = 'unknown dissector',
      action = refuse and unknown_dissector or policy.accept },
    { on = entry.policies.next_dissector, name = 'unknown protocol', proto = 'unknown',
      action = policy.accept },
  }

  lib.haka.packet = create
  function lib.haka.packet_dissector(pkt)
    return name_of(pkt[0])
  end
  return true
end
