local ipv4 = require('protocol/ipv4')
require('protocol/udp')

haka.rule {
  on = haka.dissectors.udp.events.receive_packet,
  eval = function (pkt)
    print(pkt.src, pkt.srcport, pkt.dstport, pkt.length)
    if pkt.srcport > 2000 then return end
    local ip = haka.dissectors.ipv4.create(haka.dissectors.packet.create())
    ip.src, ip.dst, ip.ttl = ipv4.addr('192.168.10.9'), pkt.dst, 64
    local new = haka.dissectors.udp.create(ip, { srcport = 3000 + pkt.srcport, dstport = 9, length = 12 })
    new.payload:setfixedstring('four')
    new:inject()
  end,
}
