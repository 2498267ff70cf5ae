require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt) if pkt.src == pkt.dst then pkt:drop() end end,
}
