require('protocol/tcp_connection')

local events = haka.dissectors.tcp_connection.events

haka.rule {
  on = events.new_connection,
  eval = function (flow, pkt)
    haka.log('new connection %s:%d -> %s:%d', flow.srcip, flow.srcport, flow.dstip, flow.dstport)
  end,
}

haka.rule {
  on = events.end_connection,
  eval = function (flow)
    haka.log('end connection %s:%d -> %s:%d', flow.srcip, flow.srcport, flow.dstip, flow.dstport)
  end,
}
