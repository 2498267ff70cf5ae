local ipv4 = require('protocol/ipv4')

local refused = ipv4.addr('192.168.10.5')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    if pkt.src == refused then
      haka.alert { description = string.format('filtering address %s', pkt.src), severity = 'low' }
      pkt:drop()
    end
  end,
}
