local ipv4 = require('protocol/ipv4')
require('protocol/icmp')

haka.rule {
  on = haka.dissectors.icmp.events.receive_packet,
  eval = function (pkt)
    print(pkt.src, pkt.type)
    if pkt.type == 8 then
      local ip = haka.dissectors.ipv4.create(haka.dissectors.packet.create())
      ip.src, ip.dst, ip.ttl = pkt.dst, pkt.src, 32
      local reply = haka.dissectors.icmp.create(ip, { type = 0, code = 0 })
      reply:inject()
    end
  end,
}
