require('protocol/udp')

haka.rule {
  on = haka.dissectors.udp.events.receive_packet,
  eval = function (pkt)
    pkt.srcport = 3000
    pkt.dstport = 4000
    pkt.checksum = 0xdead
    if #pkt.payload > 0 then pkt.payload:sub(0, 2):setfixedstring('XY') end
  end,
}
