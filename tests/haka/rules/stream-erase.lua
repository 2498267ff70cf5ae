require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  eval = function (flow, data, dir) data:sub(0, 2):erase() end,
}
