-- TCP connections as rules see them: the flow object, its events, policies,
-- and the base class of dissectors that read streams.

local host, lib = ...

local native, protocol, flows, drive = lib.native, lib.protocol, lib.flow, lib.drive
local dispatch, data = lib.dispatch, lib.flow_data
local ops, E, current = host.ops, host.engine, host.current
local st = native.st
local error, rawget, rawset, type = error, rawget, rawset, type
local new_class, super = lib.class.class, lib.class.super
local check_error = lib.check.error
local protected = lib.dissector.protected
local log = lib.log.of('external')

local NAME, NUMBER = 'tcp_connection', 6
local TO_SERVER, TO_CLIENT, BOTH = 1, 2, 3
local DIRECTIONS = { [0] = 'up', [1] = 'down' }
local MASKS = { up = TO_SERVER, down = TO_CLIENT }

local methods = {}
local kind = { name = NAME, number = NUMBER, methods = methods }
-- For dissectors of the engine that read the streams.
lib.tcp_flow = kind

-- Lets go what readers have passed, in one direction or both.
function methods.send(flow, direction)
  local mask = BOTH
  if direction ~= nil then
    mask = MASKS[direction]
    if not mask then error("direction must be 'up' or 'down'", 2) end
  end
  local floor = drive.enter()
  drive.run(floor, ops.flow_send(E, flow[0], flow[1], mask), NAME)
end

function methods.drop(flow)
  flows.drop(flow, NAME)
end

methods.error = methods.drop

local function reset(flow, towards)
  local floor = drive.enter()
  drive.run(floor, ops.flow_reset(E, flow[0], flow[1], towards, st.kind, st.cur), NAME)
  flows.stopped(flow)
end

-- An RST to both ends, then as drop.
function methods.reset(flow)
  reset(flow, BOTH)
end

-- An RST to the server alone; the client hears nothing more.
function methods.halfreset(flow)
  reset(flow, TO_SERVER)
end

-- Events ----------------------------------------------------------------------

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

-- Bytes that are not in a stream need none, nor do no bytes: see `flow_data`.
local function with_data(object)
  return function (slot)
    local direction = DIRECTIONS[current.direction]
    if current.loose ~= 0 or current.fresh == 0 then
      return object(slot), nil, direction, current.piece
    end
    local flow = kind.object(slot)
    local stream, piece = data.open(flow)
    return flow, stream, direction, piece
  end
end

-- The dissector in Lua that reads the flow gets the data after all listeners.
local function feed_dissector(flow, stream, direction, piece)
  local next = rawget(flow, '_next_dissector')
  if type(next) ~= 'table' or protocol.is_native(next) or not next.receive then return end
  stream = stream or data.opened()
  next:receive(stream, data.iterator(stream, piece), direction)
end

local function finish(ended)
  local flow = flows.known(ended[0])
  if not flow then return end
  data.close(flow)
  local above = rawget(flow, '_application')
  if above then data.close(above) end
  lib.state_instance.flow_ended(flow)
  rawset(flow, '_scope', nil)
end

-- Policies --------------------------------------------------------------------

local function script(flow, next)
  flows.script(flow, next)
  dispatch.want(host.kinds[NAME].receive_data)
end

local function apply_new_connection(flow)
  local policy = kind.entry.policies.new_connection
  -- Nothing refuses connections unless rules do; Haka logs the policy anyway.
  if not host.fixed_texts and policy:only_builtin() then return end
  local srcip, srcport, dstip, dstport = flow.srcip, flow.srcport, flow.dstip, flow.dstport
  policy:evaluate(flow, { srcip = srcip, srcport = srcport, dstip = dstip, dstport = dstport },
    flows.ends('tcp', srcip, srcport, dstip, dstport))
end

-- The segment, the values and the alert's ends of a policy on a packet.
local function segment_context(slot)
  local pkt = native.transport(slot)
  local srcip, srcport, dstip, dstport = pkt.src, pkt.srcport, pkt.dst, pkt.dstport
  return pkt, { srcip = srcip, srcport = srcport, dstip = dstip, dstport = dstport },
    flows.ends('tcp', srcip, srcport, dstip, dstport)
end

local HANDSHAKES = {
  [1] = 'invalid tcp establishement handshake',
  [2] = 'invalid tcp termination handshake',
}

local function define_policies(entry)
  local kinds = host.kinds[NAME]
  dispatch.define(kinds['policy:next_dissector'], { subject = 'flow',
    decide = function (slot)
      local flow = kind.object(slot)
      local decided = protocol.decide_flow(flow, entry.policies.next_dissector, script)
      -- What is spoken there is left to its first bytes.
      if not decided and flow:can_continue() then
        native.check(ops.flow_dissect(E, flow[0], flow[1], 0), NAME)
      end
    end })
  dispatch.define(kinds['policy:no_connection_found'], { subject = 'packet',
    decide = function (slot)
      local pkt, values, ends = segment_context(slot)
      entry.policies.no_connection_found:evaluate(pkt, values, ends)
    end })
  dispatch.define(kinds['policy:unexpected_packet'], { subject = 'flow',
    decide = function ()
      local description = HANDSHAKES[current.detail]
      local pkt, _, ends = segment_context(current.packet)
      ends.description = description
      entry.policies.unexpected_packet:evaluate(pkt, {}, ends)
    end })

  -- Only where the engine itself acts so by default.
  local policy = lib.policy
  local refuse = policy.drop
  if host.defaults.drop_unknown_connection then
    protocol.builtin { { on = entry.policies.no_connection_found, name = 'default action',
      action = { policy.alert { severity = 'low' }, refuse } } }
  end
  if host.defaults.strict_handshake then
    protocol.builtin {
      { on = entry.policies.unexpected_packet, name = 'default action',
        action = { policy.alert {}, refuse } },
      { on = entry.policies.invalid_handshake, name = 'default action',
        action = { policy.alert {}, refuse } },
    }
  end
end

-- Dissectors of streams -----------------------------------------------------------

local TcpFlowDissector = new_class('TcpFlowDissector', lib.dissector.FlowDissector)

local function is_flow(value)
  return type(value) == 'table' and kind.is(value)
end

function TcpFlowDissector.method:__init(flow)
  if not is_flow(flow) then check_error('invalid parent dissector, must be a tcp flow', 1) end
  super(TcpFlowDissector).__init(self, flow)
end

function TcpFlowDissector.method:can_continue()
  return rawget(self, '_parent') ~= nil
end

-- Takes the flow out of the dissector's hands, once.
local function detach(self)
  local flow = rawget(self, '_parent')
  rawset(self, '_parent', nil)
  return flow
end

function TcpFlowDissector.method:drop()
  local flow = detach(self)
  if flow and flow:can_continue() then flow:drop() end
end

function TcpFlowDissector.method:reset()
  local flow = detach(self)
  if flow and flow:can_continue() then flow:reset() end
end

local function receive(self, stream, current_data, direction)
  self:streamed(stream, self.receive_streamed, self, current_data, direction)
  local flow = rawget(self, '_parent')
  if not flow then return end
  if not flow:can_continue() then
    log.warning('tcp_connection: invalid stream')
    return
  end
  flow:send(direction)
end

function TcpFlowDissector.method:receive(stream, current_data, direction)
  return protected(self, receive, self, stream, current_data, direction)
end

-- Runs in a coroutine per direction.
function TcpFlowDissector.method:receive_streamed(iter, direction)
  local machine = rawget(self, '_state')
  if not machine then error('not implemented', 0) end
  while iter:wait() do
    machine:update(iter, direction)
    self:continue()
  end
end

-- Console -------------------------------------------------------------------------

local function of_id(id)
  local flow = flows.by_id(kind, NUMBER, id)
  if not flow then error('unknown tcp connection', 2) end
  return flow
end

local console = {}

function console.list_connections(show_dropped)
  return flows.rows(kind, NUMBER, show_dropped)
end

function console.drop_connection(id)
  of_id(id):drop()
end

function console.reset_connection(id)
  of_id(id):reset()
end

return function ()
  flows.kind(kind)
  -- In Haka the policy is applied by a rule that its summary counts.
  local counted = host.fixed_texts
  local segment, alone = native.transport_row(NUMBER), { kind.row }
  local entry = protocol.flow(kind, {
    policies = {
      new_connection = { title = 'new connection', kind = host.kinds[NAME].new_connection },
      no_connection_found = { title = 'no connection found for tcp packet',
        kind = host.kinds[NAME]['policy:no_connection_found'] },
      unexpected_packet = { title = 'unexpected tcp packet',
        kind = host.kinds[NAME]['policy:unexpected_packet'] },
      invalid_handshake = { title = 'invalid tcp handshake' },
    },
    forms = {
      new_connection = { form = 'flow_packet', shows = { kind.row, segment },
        make = packet_and_flow, before = not counted and apply_new_connection or nil },
      receive_packet = { form = 'flow_packet_direction', shows = { kind.row, segment },
        make = with_direction },
      receive_data = { form = 'flow_data', shows = alone, make = with_data,
        after = feed_dissector },
      end_connection = { form = 'flow', shows = alone, make = itself, after = finish },
    },
  })
  define_policies(entry)
  protocol.builtin { { on = lib.dissector.dissectors.tcp.policies.next_dissector,
    name = 'tcp connection', action = entry.install } }
  if counted then
    lib.rule.rule { on = entry.events.new_connection, eval = apply_new_connection }
  end
  return { helper = { TcpFlowDissector = TcpFlowDissector }, console = console }
end
