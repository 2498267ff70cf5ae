require('protocol/tcp_connection')

local events = haka.dissectors.tcp_connection.events

haka.rule {
  on = events.receive_data,
  eval = function (flow, data, dir)
    haka.log('%s %d', dir, #data)
    if data:asstring():find('attack') then
      haka.log('reset')
      flow:reset()
      haka.log('not reached again')
    end
  end,
}

haka.rule {
  on = events.end_connection,
  eval = function (flow) haka.log('end %d', flow.srcport) end,
}
