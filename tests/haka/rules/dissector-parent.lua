require('protocol/tcp')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    assert(pkt:parent() == pkt:parent(1))
    assert(pkt:parent(0) == pkt and pkt:parent('tcp') == pkt)
    assert(pkt:parent('ipv4') == pkt:parent() and pkt:parent('packet') == pkt:parent(2))
    assert(pkt:parent('nobody') == nil and pkt:parent(3) == nil)
    debug.pprint(pkt:parent('ipv4'), { depth = 1 })
    debug.pprint(pkt:parent(2), { depth = 1 })
  end,
}
