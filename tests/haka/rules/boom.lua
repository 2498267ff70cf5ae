require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  eval = function (flow, data, dir) error('boom', 0) end,
}
