require('protocol/icmp')

haka.rule {
  on = haka.dissectors.icmp.events.receive_packet,
  eval = function (pkt)
    pkt.type = 13
    pkt.code = 3
    pkt.checksum = 0xbeef
  end,
}
