-- The UDP dissector: single datagrams. Flows are in connection.lua.

local host, lib = ...

local native, protocol = lib.native, lib.protocol

local NUMBER, HEADER = 17, 8

local kind = {
  name = 'udp', layer = native.TRANSPORT, class = true, fields = host.fields.udp,
  getters = {}, attributes = { 'payload' },
  parent = function (o) return native.network(o[0]) end,
}
native.checksum_methods(kind)

function kind.getters.payload(o)
  return native.payload(o, native.TRANSPORT, 'udp packet'):sub()
end

-- `init` may hold ports and `length`, that of header and payload.
local function create(ip, init)
  init = init or {}
  local o = native.create(kind, ip, NUMBER, init.length or HEADER)
  if init.srcport then o.srcport = init.srcport end
  if init.dstport then o.dstport = init.dstport end
  return o
end

return function ()
  native.kind(kind)
  native.transports[NUMBER] = kind
  local entry = protocol.packet(kind, {
    create = create,
    values = function (o) return { srcport = o.srcport, dstport = o.dstport } end,
  })
  protocol.add_transport('udp', NUMBER, entry)
  return true
end
