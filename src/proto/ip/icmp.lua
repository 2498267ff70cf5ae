-- The ICMP and ICMPv6 dissectors: the same four bytes of header.

local host, lib = ...

local native, protocol = lib.native, lib.protocol
local rawget, pairs = rawget, pairs

local MESSAGE = 8

local function loader(name, version, number)
  return function ()
    local kind = {
      name = name, layer = native.TRANSPORT, class = true, fields = host.fields.icmp,
      getters = {}, attributes = { 'payload' },
      parent = function (o) return native.network(o._s) end,
    }
    native.checksum_methods(kind)
    function kind.getters.payload(o)
      return native.payload(o, native.TRANSPORT, name .. ' packet'):sub()
    end
    native.kind(kind)
    native.transports[number] = kind

    local function create(ip, init)
      local o = native.create(kind, ip, number, MESSAGE)
      for key, value in pairs(init or {}) do o[key] = value end
      return o
    end
    local entry = protocol.packet(kind, {
      create = create,
      values = function () return {} end,
    })
    local network = rawget(lib.dissector.dissectors, version)
    protocol.add_transport(name, number, entry, network)
    return true
  end
end

return { icmp = loader('icmp', 'ipv4', 1), icmpv6 = loader('icmpv6', 'ipv6', 58) }
