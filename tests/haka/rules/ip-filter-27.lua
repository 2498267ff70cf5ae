local ipv4 = require('protocol/ipv4')

local refused = ipv4.network('192.168.10.0/27')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt) if refused:contains(pkt.src) then pkt:drop() end end,
}
