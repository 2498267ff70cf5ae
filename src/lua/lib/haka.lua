-- The `haka` table as rules see it.
--
-- Assembled from the modules loaded before, in the order of the reference
-- engine. What later modules own (grammars, state machines, buffers, regular
-- expressions, packets, console) the host adds.

local host, lib = ...

local error = error

local haka = { mode = host.mode or 'normal' }

haka.log = lib.log.log
haka.log_section = lib.log.log_section
haka.setloglevel = lib.log.setloglevel

haka.event = {
  Event = lib.event.Event,
  EventConnections = lib.event.EventConnections,
  StaticEventConnections = lib.event.StaticEventConnections,
  ObjectEventConnections = lib.event.ObjectEventConnections,
  self = lib.event.self,
  method = lib.event.method,
}
haka.events = lib.event.events

haka.context = lib.context.context
haka.policy = lib.policy

haka.dissector = {
  new = lib.dissector.new,
  pcall = lib.dissector.pcall,
  opposite_direction = lib.dissector.opposite_direction,
}
haka.dissectors = lib.dissector.dissectors
haka.helper = {
  Dissector = lib.dissector.Dissector,
  PacketDissector = lib.packet_dissector,
  -- The manuals' name for the same class.
  EncapsulatedPacketDissector = lib.packet_dissector,
  FlowDissector = lib.dissector.FlowDissector,
}

haka.alert = lib.alert.alert

haka.rule = lib.rule.rule
haka.rule_group = lib.rule.rule_group
haka.rule_summary = lib.rule.rule_summary
haka.on_exit = lib.rule.on_exit
haka.console = { rules = lib.rule.console.rules, events = lib.rule.console.events }

haka.time = lib.time.from_seconds
haka.network_time = lib.time.network

-- Unwinds to the nearest protected call with the nil error, which is never
-- reported and drops nothing by itself.
function haka.abort()
  error()
end

function haka.exit()
  host.exit()
end

function haka.current_thread()
  return host.thread
end

function haka.capture_mode()
  return host.passthrough and 'passthrough' or 'normal'
end

debug.getfenv = debug.getfenv or getfenv
debug.setfenv = debug.setfenv or setfenv

_G.haka = haka

return haka
