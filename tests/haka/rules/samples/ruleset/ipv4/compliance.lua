haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    if not pkt:verify_checksum() then
      haka.alert { description = 'wrong ip checksum', sources = haka.alert.address(pkt.src) }
      pkt:drop()
    end
  end,
}
