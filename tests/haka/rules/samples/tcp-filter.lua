require('protocol/ipv4')
require('protocol/tcp')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    if pkt.destport ~= 80 then
      haka.log('port %d', pkt.destport)
      pkt:drop()
    end
  end,
}
