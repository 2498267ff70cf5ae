local ipv4 = require('protocol/ipv4')
require('protocol/ipv4lua')

local events = haka.dissectors.ipv4lua.events

haka.rule {
  on = events.protocol_error,
  eval = function (pkt, err)
    print(err.description)
    pkt:drop()
  end,
}

haka.rule {
  on = events.receive_packet,
  eval = function (pkt)
    print(pkt.hdr_len, pkt.len, #pkt.opt, pkt.payload:asstring())
    for _, option in ipairs(pkt.opt) do
      print(option.type, option.copy, option.class, option.number, option.len, option.data and #option.data)
    end
    if pkt.proto == 20 then
      local new = haka.dissectors.ipv4lua.create(haka.dissectors.packet.create(4), {
        ttl = 9, proto = 33, flags = { df = true }, src = ipv4.addr('10.0.0.9'),
        dst = ipv4.addr('10.0.0.1'), opt = { { type = 7, data = 'abcd' }, { type = 1 } },
      })
      new:inject()
    end
  end,
}
