require('protocol/ipv4')

local function show(payload)
  local text = {}
  for i = 1, #payload do text[i] = string.format('%02x', payload[i]) end
  print('V= ' .. table.concat(text, ' '))
end

haka.rule {
  on = haka.dissectors.packet.events.receive_packet,
  eval = function (pkt)
    local payload = pkt.payload
    print('V= ' .. #payload)
    local sub = payload:sub(20, 4)
    print('V= ' .. sub:asstring())
    sub:setfixedstring('WXYZ')
    print('V= ' .. payload:sub(20, 6):asstring())
    payload:sub(24, 4):replace(haka.vbuffer_from('12345678'))
    print('V= ' .. payload:sub(20, 12):asstring())
    payload:sub(28, 4):erase()
    print('V= ' .. payload:sub(20, 8):asstring())
    print('V= ' .. #payload)
  end,
}
