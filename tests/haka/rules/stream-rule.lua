require('protocol/tcp_connection')

local events = haka.dissectors.tcp_connection.events

haka.rule {
  on = events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter, dir)
    while iter:wait() do
      local sub = iter:sub('available')
      haka.log('%s: %d bytes', dir, #sub)
    end
  end,
}

haka.rule {
  on = events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter, dir)
    local mark = iter:copy()
    mark:mark()
    local all = iter:sub('all')
    haka.log('%s all: %d', dir, all and #all or 0)
    mark:unmark()
  end,
}
