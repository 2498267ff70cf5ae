require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    haka.log('packet from %s to %s', pkt.src, pkt.dst)
    haka.alert { description = 'packet received' }
  end,
}
