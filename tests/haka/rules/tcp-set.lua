require('protocol/tcp')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    pkt.srcport = 3000
    pkt.dstport = 4000
    pkt.seq = 4123456789
    pkt.ack_seq = 987654321
    pkt.res = 5
    pkt.hdr_len = 32
    pkt.flags.fin = true
    pkt.flags.syn = true
    pkt.flags.rst = true
    pkt.flags.psh = false
    pkt.flags.ack = false
    pkt.flags.urg = false
    pkt.flags.ecn = true
    pkt.flags.cwr = true
    pkt.window_size = 99999
    pkt.checksum = 0xdead
    pkt.urgent_pointer = 9
  end,
}
