local ipv4 = require('protocol/ipv4')
require('protocol/ipv4lua')

haka.rule {
  on = haka.dissectors.ipv4lua.events.receive_packet,
  eval = function (pkt)
    pkt.version = 4
    pkt.tos = 0x10
    pkt.id = 0xbeef
    pkt.flags.rb = true
    pkt.flags.df = false
    pkt.flags.mf = true
    pkt.frag_offset = 80
    pkt.ttl = 33
    pkt.proto = 77
    pkt.src = ipv4.addr(10, 0, 0, 1)
    pkt.dst = ipv4.addr('255.255.255.255')
    pkt.hdr_len = nil
    pkt.len = nil
    pkt.checksum = nil
  end,
}
