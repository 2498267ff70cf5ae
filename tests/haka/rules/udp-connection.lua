require('protocol/udp_connection')

local events = haka.dissectors.udp_connection.events

haka.rule {
  on = events.new_connection,
  eval = function (flow, pkt)
    haka.log('new %s:%d -> %s:%d', flow.srcip, flow.srcport, flow.dstip, flow.dstport)
  end,
}

haka.rule {
  on = events.receive_packet,
  eval = function (flow, pkt, dir) haka.log('packet %s %s', dir, flow.state) end,
}

haka.rule {
  on = events.receive_data,
  eval = function (flow, pkt, dir) haka.log('data %s %s', dir, pkt.payload:asstring()) end,
}

haka.rule {
  on = events.end_connection,
  eval = function (flow) haka.log('end %s:%d', flow.srcip, flow.srcport) end,
}
