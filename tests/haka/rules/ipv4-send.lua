require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.send_packet,
  eval = function (pkt) haka.log('packet from %s to %s', pkt.src, pkt.dst) end,
}
