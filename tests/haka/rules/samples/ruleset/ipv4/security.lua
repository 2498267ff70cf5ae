haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    if pkt.src == pkt.dst then
      haka.alert {
        severity = 'high',
        description = 'land attack',
        sources = { haka.alert.address(pkt.src) },
        targets = { haka.alert.address(pkt.dst) },
      }
      pkt:drop()
    end
  end,
}
