-- The IPv6 dissector and `require('protocol/ipv6')`.

local host, lib = ...

local native, protocol, address = lib.native, lib.protocol, lib.address
local ops, E = host.ops, host.engine
local P, PACKET_MASK = host.packets, host.packet_mask
local band, type, error, rawget = bit.band, type, error, rawget

local WHAT = 'ipv6 packet'
local DONT_REASSEMBLE = 2

local kind = {
  name = 'ipv6', layer = native.NETWORK, fields = host.fields.ipv6,
  getters = {}, setters = {}, methods = {},
  attributes = { 'payload', 'dont_reassemble', 'proto', 'hdr_len' },
  parent = function (o) return native.packet.object(o[0]) end,
}

local function record(o)
  local r = P[band(o[0], PACKET_MASK)]
  if r.generation ~= o[1] or r.state > 2 then error('invalid ' .. WHAT, 0) end
  return r
end

function kind.getters.payload(o)
  return native.payload(o, native.NETWORK, WHAT)
end

-- The protocol behind all extension headers; `next_header` is the first.
function kind.getters.proto(o)
  return record(o).protocol
end

-- Bytes of the header with its extensions.
function kind.getters.hdr_len(o)
  local r = record(o)
  return r.transport_at - r.ip_at
end

function kind.getters.dont_reassemble(o)
  return band(record(o).flags, DONT_REASSEMBLE) ~= 0
end

function kind.setters.dont_reassemble(o, value)
  if type(value) ~= 'boolean' then
    error("Error in dont_reassemble (arg 2), expected 'bool' got '" .. type(value) .. "'", 0)
  end
  native.check(ops.dont_reassemble(E, o[0], o[1], value and 1 or 0), WHAT)
end

function kind.methods.reassemble(o)
  return o
end

-- IPv6 headers have no checksum: there is nothing that could be wrong.
function kind.methods.verify_checksum()
  return true
end

function kind.methods.compute_checksum() end

local VERSION, HEADER = 6, 40

return function ()
  native.kind(kind)
  native.networks[6] = kind
  local entry = protocol.packet(kind, {
    create = function (pkt) return native.create(kind, pkt, VERSION, HEADER) end,
    values = function (o) return { proto = o.proto } end,
  })
  local packet_policy = rawget(lib.dissector.dissectors, 'packet').policies.next_dissector
  protocol.builtin { { on = packet_policy, name = 'ipv6', proto = 'ipv6', action = entry.install } }
  protocol.add_network(entry)
  return { addr = address.ipv6.addr, network = address.ipv6.network }
end
