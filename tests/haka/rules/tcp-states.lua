require('protocol/tcp_connection')

local events = haka.dissectors.tcp_connection.events

haka.rule {
  on = events.receive_packet,
  eval = function (flow, pkt, dir)
    haka.log('%s %s %d/%d', dir, flow.state, flow.in_pkts, flow.out_pkts)
  end,
}

haka.rule {
  on = events.end_connection,
  eval = function (flow) haka.log('end in %s', flow.state) end,
}
