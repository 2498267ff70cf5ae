local ipv4 = require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    pkt.dont_reassemble = true
    pkt.version = 4
    pkt.hdr_len = 20
    pkt.len = 30
    pkt.tos = 0x10
    pkt.id = 0xbeef
    pkt.flags.rb = true
    pkt.flags.df = false
    pkt.flags.mf = true
    pkt.frag_offset = 80
    pkt.ttl = 33
    pkt.proto = 77
    pkt.checksum = 0xdead
    pkt.src = ipv4.addr(10, 0, 0, 1)
    pkt.dst = ipv4.addr('255.255.255.255')
  end,
}
