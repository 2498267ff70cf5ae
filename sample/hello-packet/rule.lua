-- Hello packet: names every IP packet and every new TCP connection.

require('protocol/ipv4')
require('protocol/ipv6')
require('protocol/tcp_connection')

local function greet(pkt)
    haka.log('packet from %s to %s', pkt.src, pkt.dst)
end

haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = greet }
haka.rule { on = haka.dissectors.ipv6.events.receive_packet, eval = greet }

haka.rule {
    on = haka.dissectors.tcp_connection.events.new_connection,
    eval = function (flow, tcp)
        haka.log('TCP connection from %s:%d to %s:%d', tcp.src, tcp.srcport, tcp.dst, tcp.dstport)
        haka.alert {
            severity = 'low',
            description = 'a simple alert',
            sources = { haka.alert.address(flow.srcip), haka.alert.service(string.format('tcp/%d', flow.srcport)) },
            targets = { haka.alert.address(flow.dstip), haka.alert.service(string.format('tcp/%d', flow.dstport)) },
        }
    end,
}
