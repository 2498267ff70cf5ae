-- The TCP dissector: single segments. Connections are in connection.lua.

local host, lib = ...

local native, protocol = lib.native, lib.protocol
local tcp_stream = lib['proto/tcp/stream']

local NUMBER, HEADER = 6, 20

local kind = {
  name = 'tcp', layer = native.TRANSPORT, fields = host.fields.tcp,
  getters = {}, attributes = { 'payload' },
  parent = function (o) return native.network(o[0]) end,
}
native.checksum_methods(kind)

function kind.getters.payload(o)
  return native.payload(o, native.TRANSPORT, 'tcp packet')
end

return function ()
  native.kind(kind)
  native.transports[NUMBER] = kind
  local entry = protocol.packet(kind, {
    create = function (ip) return native.create(kind, ip, NUMBER, HEADER) end,
    values = function (o) return { srcport = o.srcport, dstport = o.dstport } end,
  })
  protocol.add_transport('tcp', NUMBER, entry)
  return { tcp_stream = tcp_stream }
end
