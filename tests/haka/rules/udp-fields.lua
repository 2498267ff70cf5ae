require('protocol/udp')

haka.rule {
  on = haka.dissectors.udp.events.receive_packet,
  eval = function (pkt)
    print(pkt.srcport, pkt.dstport, pkt.length, string.format('%04x', pkt.checksum))
    print(pkt:verify_checksum(), #pkt.payload, pkt.payload:asstring(), pkt.src, pkt.name)
  end,
}
