require('protocol/tcp_connection')

local events = haka.dissectors.tcp_connection.events

haka.rule {
  on = events.receive_data,
  eval = function (flow, data)
    if data:asstring() == 'attack\n' then flow:reset() end
  end,
}

haka.rule {
  on = events.end_connection,
  eval = function (flow) haka.log('end %d', flow.srcport) end,
}
