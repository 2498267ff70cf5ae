require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  eval = function (flow, data, dir)
    haka.log('%s %s', dir, data:asstring())
  end,
}
