haka.rule {
  on = haka.dissectors.packet.events.receive_packet,
  eval = function (pkt)
    local at = pkt.timestamp
    haka.log('packet timestamp is %ss %sns', at.secs, at.nsecs)
    haka.log('packet timestamp is %s seconds', at.seconds)
    haka.log('packet timestamp is %s', at)
  end,
}
