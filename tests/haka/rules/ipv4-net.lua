local ipv4 = require('protocol/ipv4')

local one = ipv4.network('192.168.10.0/24')
local other = ipv4.network(ipv4.addr('192.168.20.0'), 24)
print(one, other, one.net, one.mask)

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    print(pkt.src, one:contains(pkt.src), other:contains(pkt.src))
  end,
}
