require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt) print(pkt.none) end,
}
