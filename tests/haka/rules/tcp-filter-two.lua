require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp_connection.events.new_connection,
  eval = function (flow, pkt)
    if flow.dstport ~= 80 and flow.dstport ~= 22 then pkt:drop() end
  end,
}
