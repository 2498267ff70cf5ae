require('protocol/tcp_connection')

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  eval = function (flow, data, dir)
    if dir == 'up' then
      haka.log('insert')
      data:pos(2):insert(haka.vbuffer_from('[4+] '))
    end
  end,
}
