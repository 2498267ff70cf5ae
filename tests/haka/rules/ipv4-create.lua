local ipv4 = require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    print(pkt.src, pkt.proto, pkt.len, pkt.flags.mf, pkt.frag_offset, pkt:parent():state())
    if pkt.proto == 20 then
      local new = haka.dissectors.ipv4.create(haka.dissectors.packet.create(30))
      print(new.version, new.hdr_len, new.len, new.ttl, new.src)
      new.ttl, new.id, new.proto = 100, 0xabcd, 33
      new.src, new.dst = ipv4.addr('10.0.0.9'), ipv4.addr('10.0.0.1')
      new.flags.mf = true
      new.frag_offset = 80
      new.dont_reassemble = true
      new:inject()
    end
  end,
}

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt) pkt.dont_reassemble = true end,
}
