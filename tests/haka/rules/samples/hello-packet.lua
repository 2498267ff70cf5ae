require('protocol/ipv4')
require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt) haka.log('packet from %s to %s', pkt.src, pkt.dst) end,
}

haka.rule {
  on = haka.dissectors.tcp_connection.events.new_connection,
  eval = function (flow, tcp)
    haka.log('connection from %s:%d to %s:%d', tcp.src, flow.srcport, tcp.dst, flow.dstport)
    haka.alert {
      description = 'a connection',
      sources = haka.alert.address(tcp.src),
      targets = haka.alert.address(tcp.dst),
    }
  end,
}
