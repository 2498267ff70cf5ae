require('protocol/udp_connection')

haka.rule {
  on = haka.dissectors.udp_connection.events.receive_data,
  eval = function (flow, pkt, dir)
    haka.log('data %s', pkt.payload:asstring())
    if pkt.payload:asstring() == 'two' then flow:drop() end
  end,
}

haka.rule {
  on = haka.dissectors.udp_connection.events.end_connection,
  eval = function (flow) haka.log('end') end,
}
