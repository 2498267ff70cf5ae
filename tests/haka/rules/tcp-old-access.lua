require('protocol/tcp')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt) print(pkt.ip.src) end,
}
