require('protocol/tcp')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    print(pkt:verify_checksum())
    pkt:compute_checksum()
    print(pkt:verify_checksum())
  end,
}
