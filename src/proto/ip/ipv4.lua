-- The IPv4 dissector and `require('protocol/ipv4')`.

local host, lib = ...

local native, protocol, address = lib.native, lib.protocol, lib.address
local ops, E = host.ops, host.engine
local P, PACKET_MASK = host.packets, host.packet_mask
local band, type, error, rawget = bit.band, type, error, rawget

local WHAT = 'ipv4 packet'
local DONT_REASSEMBLE = 2

local kind = {
  name = 'ipv4', layer = native.NETWORK, fields = host.fields.ipv4,
  getters = {}, setters = {}, methods = {}, attributes = { 'payload', 'dont_reassemble' },
  parent = function (o) return native.packet.object(o[0]) end,
}
native.checksum_methods(kind)

function kind.getters.payload(o)
  return native.payload(o, native.NETWORK, WHAT)
end

function kind.getters.dont_reassemble(o)
  local r = P[band(o[0], PACKET_MASK)]
  if r.generation ~= o[1] then error('invalid ' .. WHAT, 0) end
  return band(r.flags, DONT_REASSEMBLE) ~= 0
end

function kind.setters.dont_reassemble(o, value)
  if type(value) ~= 'boolean' then
    error("Error in dont_reassemble (arg 2), expected 'bool' got '" .. type(value) .. "'", 0)
  end
  native.check(ops.dont_reassemble(E, o[0], o[1], value and 1 or 0), WHAT)
end

-- The engine puts datagrams together by itself.
function kind.methods.reassemble(o)
  return o
end

local VERSION, HEADER = 4, 20

return function ()
  native.kind(kind)
  native.networks[4] = kind
  local entry = protocol.packet(kind, {
    create = function (pkt) return native.create(kind, pkt, VERSION, HEADER) end,
    values = function (o) return { proto = o.proto } end,
  })
  local packet_policy = rawget(lib.dissector.dissectors, 'packet').policies.next_dissector
  protocol.builtin { { on = packet_policy, name = 'ipv4', proto = 'ipv4', action = entry.install } }
  protocol.add_network(entry)
  return {
    addr = address.ipv4.addr,
    network = address.ipv4.network,
    cnx_table = lib.cnx_table,
    inet_checksum = lib.checksum.new,
    inet_checksum_compute = lib.checksum.compute,
  }
end
