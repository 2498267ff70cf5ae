require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  eval = function (flow, data, dir)
    local text = data:asstring()
    if text:find('attack') then return flow:reset() end
    if text:find('alice') or text:find('login') then
      data:pos(0):insert(haka.vbuffer_from('>>'))
    end
    if dir == 'down' then data:sub(0, 1):erase() end
  end,
}
