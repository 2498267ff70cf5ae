require('protocol/ipv4lua')

haka.rule {
  on = haka.dissectors.ipv4lua.events.receive_packet,
  eval = function (pkt)
    print('version ' .. pkt.version .. ' hdr_len ' .. pkt.hdr_len .. ' tos ' .. pkt.tos)
    print('len ' .. pkt.len .. ' id ' .. pkt.id .. ' ttl ' .. pkt.ttl .. ' proto ' .. pkt.proto)
    print(pkt.flags.rb, pkt.flags.df, pkt.flags.mf, pkt.flags.all, pkt.frag_offset)
    print(string.format('%04x', pkt.checksum), pkt:verify_checksum())
    print(pkt.src, pkt.dst, #pkt.payload, pkt.name, #pkt.opt)
  end,
}
