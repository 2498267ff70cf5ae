require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter, dir)
    while iter:wait() do
      local sub = iter:sub('available')
      haka.log('%s %d', dir, #sub)
      if #sub > 3 then sub:sub(1, 3):erase() end
    end
  end,
}
