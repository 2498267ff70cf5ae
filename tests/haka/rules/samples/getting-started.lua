local ipv4 = require('protocol/ipv4')
require('protocol/tcp')
require('protocol/tcp_connection')

local server = ipv4.addr('192.168.20.1')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    if not pkt:verify_checksum() then
      haka.alert { description = 'wrong tcp checksum', sources = { haka.alert.address(pkt.src) } }
      pkt:drop()
    end
  end,
}

haka.rule {
  on = haka.dissectors.tcp_connection.events.new_connection,
  eval = function (flow, pkt)
    if flow.dstip == server and flow.dstport == 80 then
      haka.log.debug('new connection to the server from %s', pkt.src)
    end
  end,
}
