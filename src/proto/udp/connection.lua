-- UDP flows as rules see them: the flow object, its events and policy, and
-- the base class of dissectors that read datagrams.

local host, lib = ...

local native, protocol, flows = lib.native, lib.protocol, lib.flow
local dispatch = lib.dispatch
local ops, E, current = host.ops, host.engine, host.current
local error, rawget, rawset, type = error, rawget, rawset, type
local new_class, super = lib.class.class, lib.class.super
local check_error = lib.check.error

local NAME, NUMBER = 'udp_connection', 17
local DIRECTIONS = { [0] = 'up', [1] = 'down' }

local methods = {}
local kind = { name = NAME, number = NUMBER, methods = methods }
lib.udp_flow = kind

-- Drops the flow, or just the given packet.
function methods.drop(flow, pkt)
  if pkt ~= nil then return pkt:drop() end
  flows.drop(flow, NAME)
end

methods.error = methods.drop

-- Sends a packet of the flow. Its payload is edited in place, so there is
-- nothing to give back; `clone` keeps a copy for the caller.
function methods.send(_, pkt, payload, clone)
  if pkt == nil then error('packet expected', 2) end
  local copy = clone and payload and payload.clone and payload:clone('copy') or nil
  pkt:send()
  return copy
end

local function itself(object)
  return object
end

local function packet_and_flow(object, transport)
  return function (slot) return object(slot), transport(current.packet) end
end

local function with_direction(object, transport)
  return function (slot)
    return object(slot), transport(current.packet), DIRECTIONS[current.direction]
  end
end

local function feed_dissector(flow, pkt, direction)
  local next = rawget(flow, '_next_dissector')
  if type(next) ~= 'table' or protocol.is_native(next) or not next.receive then return end
  next:receive(pkt, pkt.payload, direction)
end

local function finish(ended)
  local flow = flows.known(ended[0])
  if not flow then return end
  lib.state_instance.flow_ended(flow)
  rawset(flow, '_scope', nil)
end

local function script(flow, next)
  flows.script(flow, next)
  dispatch.want(host.kinds[NAME].receive_data)
end

local UdpFlowDissector = new_class('UdpFlowDissector', lib.dissector.FlowDissector)

function UdpFlowDissector.method:__init(flow)
  if type(flow) ~= 'table' or not kind.is(flow) then check_error('invalid flow parameter', 1) end
  super(UdpFlowDissector).__init(self, flow)
end

function UdpFlowDissector.method:can_continue()
  local flow = rawget(self, '_parent')
  return flow ~= nil and flow:can_continue()
end

function UdpFlowDissector.method:drop(pkt)
  local flow = rawget(self, '_parent')
  if flow and flow:can_continue() then flow:drop(pkt) end
end

-- A datagram leaves only when the dissector sends it.
function UdpFlowDissector.method:send(pkt, payload, clone)
  local flow = rawget(self, '_parent')
  if not flow then error('operation not supported', 0) end
  local copy = flow:send(pkt, payload, clone)
  return copy
end

function UdpFlowDissector.method:receive(pkt, payload, direction)
  local machine = rawget(self, '_state')
  if not machine then error('not implemented', 0) end
  machine:update(payload:pos('begin'), direction, pkt, payload)
end

local console = {}

function console.list_connections(show_dropped)
  return flows.rows(kind, NUMBER, show_dropped)
end

function console.drop_connection(id)
  local flow = flows.by_id(kind, NUMBER, id)
  if not flow then error('unknown udp connection', 2) end
  flow:drop()
end

return function ()
  flows.kind(kind)
  local datagram = native.transport_row(NUMBER)
  local entry = protocol.flow(kind, {
    policies = {},
    forms = {
      new_connection = { form = 'flow_packet', shows = { kind.row, datagram },
        make = packet_and_flow },
      receive_packet = { form = 'flow_packet_direction', shows = { kind.row, datagram },
        make = with_direction },
      receive_data = { form = 'flow_packet_direction', shows = { kind.row, datagram },
        make = with_direction, after = feed_dissector },
      end_connection = { form = 'flow', shows = { kind.row }, make = itself,
        after = finish },
    },
  })
  dispatch.define(host.kinds[NAME]['policy:next_dissector'], { subject = 'flow',
    decide = function (slot)
      local flow = kind.object(slot)
      local decided = protocol.decide_flow(flow, entry.policies.next_dissector, script)
      -- Left to the ports that the engine knows.
      if not decided and flow:can_continue() then
        native.check(ops.flow_dissect(E, flow[0], flow[1], 0), NAME)
      end
    end })
  protocol.builtin { { on = lib.dissector.dissectors.udp.policies.next_dissector,
    name = 'udp connection', action = entry.install } }
  return { helper = { UdpFlowDissector = UdpFlowDissector }, console = console }
end
