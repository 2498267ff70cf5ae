-- The ICMP and ICMPv6 dissectors: the same four bytes of header, and for
-- errors the flow that they are about.

local host, lib = ...

local native, protocol, flows = lib.native, lib.protocol, lib.flow
local ops, E, F, FLOW_MASK = host.ops, host.engine, host.flows, host.flow_mask
local rawget, pairs, tonumber, band = rawget, pairs, tonumber, bit.band

local MESSAGE = 8
local UNTRACKED = 0
local STALE = -1
local DIRECTIONS = { [0] = 'up', [1] = 'down' }

-- Slot of the flow times two, and which way the quoted packet went.
local function about(o, name)
  local found = tonumber(ops.related(E, o[0], o[1]))
  if found == STALE then native.check(1, name .. ' packet') end
  if found >= 0 then return (found - found % 2) / 2, found % 2 end
end

-- The flow object of a slot, if rules see flows of its protocol.
local function flow_object(slot)
  local record = F[band(slot, FLOW_MASK)]
  local kind = flows.kinds[record.protocol]
  if kind and record.state ~= UNTRACKED then return kind.object(slot) end
end

local function loader(name, version, number)
  return function ()
    local kind = {
      name = name, layer = native.TRANSPORT, class = true, fields = host.fields.icmp,
      getters = {}, attributes = { 'payload', 'related', 'related_direction' },
      parent = function (o) return native.network(o[0]) end,
    }
    native.checksum_methods(kind)
    function kind.getters.payload(o)
      return native.payload(o, native.TRANSPORT, name .. ' packet'):sub()
    end
    function kind.getters.related(o)
      local slot = about(o, name)
      if slot then return flow_object(slot) end
    end
    function kind.getters.related_direction(o)
      local _, direction = about(o, name)
      return DIRECTIONS[direction]
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
