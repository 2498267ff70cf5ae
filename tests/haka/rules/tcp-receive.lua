require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    haka.log('segment %s:%d -> %s:%d', pkt.src, pkt.srcport, pkt.dst, pkt.dstport)
  end,
}
