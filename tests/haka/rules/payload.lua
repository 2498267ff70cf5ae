require('protocol/ipv4')

-- Offsets count from the IP header.
haka.rule {
  on = haka.dissectors.packet.events.receive_packet,
  eval = function (pkt)
    local payload = pkt.payload
    print('V= ' .. #payload)
    print('V= ' .. payload:sub(20, 4):asstring())
    payload:sub(20, 4):setfixedstring('WXYZ')
    print('V= ' .. payload:sub(20, 6):asstring())
    payload:sub(24, 4):replace(haka.vbuffer_from('12345678'))
    print('V= ' .. payload:sub(20, 12):asstring())
    payload:sub(28, 4):erase()
    print('V= ' .. payload:sub(20, 8):asstring())
    print('V= ' .. #payload)
    payload:sub(26, 6):erase()
    print('V= ' .. #payload)
    print('V= ' .. payload:sub(20, 6):asstring())
  end,
}
