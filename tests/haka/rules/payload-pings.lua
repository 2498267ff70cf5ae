require('protocol/ipv4')

local function show(payload, from, count)
  print('V= ' .. payload:sub(from, count):asstring():safe_format())
end

-- Offsets count from the IP header.
haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (ip)
    local payload = ip:parent().payload
    local bytes = payload:sub(28, 40)
    show(payload, 28, 8)
    bytes:replace(haka.vbuffer_from(('0123456789ab'):rep(4)))
    show(payload, 28, 50)
    payload:sub(28, 8):erase()
    show(payload, 28, 8)
    payload:sub(28, 40):erase()
    show(payload, 28, 16)
    print('V= ' .. #payload)
    print('V= ' .. tostring(payload.modified))
  end,
}
