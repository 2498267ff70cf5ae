haka.rule {
  on = haka.dissectors.packet.events.receive_packet,
  eval = function (pkt) debug.pprint(pkt, { hide = debug.hide_underscore }) end,
}
