require('protocol/tcp_connection')

local events = haka.dissectors.tcp_connection.events

haka.rule {
  on = events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter, dir)
    while iter:wait() do
      local text = iter:sub('available'):asstring()
      haka.log('%s %s', dir, text)
      if text:find('all') then
        flow:drop()
        haka.log('dropped')
      end
    end
  end,
}

haka.rule {
  on = events.end_connection,
  eval = function (flow) haka.log('end') end,
}
