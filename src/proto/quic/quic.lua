-- QUIC for rules: the flow, and the hello of its client.

local host, lib = ...

local application, protocol = lib.application, lib.protocol
local tls = lib['proto/tls/tls']
local message, ClientHello = tls.message, tls.ClientHello
local error, ipairs, rawget = error, ipairs, rawget

local NAME = 'quic'

local function flow_object(slot)
  local flow = lib.udp_flow.object(slot)
  return flow
end

local methods, getters = {}, {}

-- A flow of datagrams cannot be reset.
function methods.reset()
  error('operation not supported', 0)
end

local kind = application.kind {
  name = NAME, methods = methods, getters = getters, attributes = { 'client_hello', 'name' },
  flow_object = flow_object,
}

function getters.client_hello(o)
  local value = message(o, ClientHello)
  return value
end

local function with_client_hello(slot)
  local o = kind.object(slot)
  return o, message(o, ClientHello)
end

return function ()
  local entry = application.announce(kind, {
    forms = { client_hello = { form = 'flow_packet', prepare = with_client_hello } },
  })
  lib.dispatch.define(host.kinds[NAME]['policy:next_dissector'],
    { subject = 'flow', decide = function () end })
  -- Where datagrams are QUIC, as the engine decides by itself.
  local chosen = rawget(lib.dissector.dissectors, 'udp_connection').policies.next_dissector
  for _, port in ipairs(host.modules['protocol/' .. NAME].udp_ports) do
    protocol.builtin { { on = chosen, name = NAME, port = port, action = entry.install } }
  end
  return true
end
