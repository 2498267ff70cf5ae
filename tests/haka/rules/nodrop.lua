haka.rule {
  on = haka.dissectors.packet.events.receive_packet,
  eval = function (pkt) debug.pprint(pkt, { hide = debug.hide_underscore }) end,
}

haka.policy {
  on = haka.dissectors.packet.policies.next_dissector,
  name = 'let everything pass',
  action = haka.policy.accept,
}
