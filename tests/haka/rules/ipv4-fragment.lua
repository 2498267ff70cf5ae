require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet_reassembled,
  eval = function (pkt)
    print(pkt.len, pkt.flags.mf, #pkt.payload)
    if #pkt.payload > 1480 then
      pkt.payload:pos(100):insert(haka.vbuffer_from('8 bytes!'))
    end
  end,
}
