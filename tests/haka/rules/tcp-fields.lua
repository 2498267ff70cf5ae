require('protocol/tcp')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    print(pkt.srcport, pkt.dstport, pkt.seq, pkt.ack_seq, pkt.res, pkt.hdr_len)
    print(pkt.window_size, string.format('%04x', pkt.checksum), pkt.urgent_pointer)
    local f = pkt.flags
    print(f.fin, f.syn, f.rst, f.psh, f.ack, f.urg, f.ecn, f.cwr, f.all)
    print(pkt:verify_checksum(), #pkt.payload, pkt.payload:sub():asstring(), pkt.name, pkt.ttl)
  end,
}
