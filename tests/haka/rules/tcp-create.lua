require('protocol/tcp_connection')
local ipv4 = require('protocol/ipv4')

-- Every segment of the client is sent once more from another host.
haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    haka.log('%s:%d %s', pkt.src, pkt.srcport, pkt:parent('packet'):state())
    local other = { ['192.168.20.1'] = '192.168.20.2', ['192.168.20.50'] = '192.168.20.51' }
    local src, dst = other[tostring(pkt.src)], other[tostring(pkt.dst)]
    if not src then return end
    local ip = haka.dissectors.ipv4.create(haka.dissectors.packet.create())
    ip.src, ip.dst = ipv4.addr(src), ipv4.addr(dst)
    ip.ttl, ip.id = pkt.ttl, pkt:parent('ipv4').id
    local new = haka.dissectors.tcp.create(ip)
    new.srcport, new.dstport = pkt.srcport, pkt.dstport
    new.seq, new.ack_seq = pkt.seq, pkt.ack_seq
    new.flags.all = pkt.flags.all
    new.window_size = pkt.window_size
    if #pkt.payload > 0 then new.payload:append(haka.vbuffer_from(pkt.payload:sub():asstring())) end
    new:inject()
  end,
}
