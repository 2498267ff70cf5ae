local ipv4 = require('protocol/ipv4')

local public, private = ipv4.addr('192.168.20.50'), ipv4.addr('10.1.1.1')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    if pkt.dst == public then pkt.dst = private end
    if pkt.src == public then pkt.src = private end
  end,
}
