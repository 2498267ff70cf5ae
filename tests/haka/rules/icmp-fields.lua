require('protocol/icmp')

haka.rule {
  on = haka.dissectors.icmp.events.receive_packet,
  eval = function (pkt)
    print('ICMP type: ' .. pkt.type)
    print('ICMP code: ' .. pkt.code)
    print('ICMP checksum: ' .. pkt.checksum)
    print('ICMP valid: ' .. tostring(pkt:verify_checksum()))
    print('ICMP payload: ' .. #pkt.payload)
    print('IP ttl: ' .. pkt.ttl .. ' from ' .. tostring(pkt.src))
  end,
}
