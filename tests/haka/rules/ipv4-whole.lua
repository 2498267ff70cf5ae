require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet_reassembled,
  eval = function (pkt) print(#pkt.payload, pkt.payload:sub(0, 30):asstring()) end,
}
