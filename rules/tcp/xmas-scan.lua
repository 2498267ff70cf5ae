-- Xmas scan: a segment with FIN, PSH and URG lit, and no ACK.
--
-- Detects          `nmap -sX` and its like: hosts with closed ports answer with RST,
--                  open ones keep silent, and no connection is ever logged
-- Reference        RFC 9293, 3.10.7.2; https://nmap.org/book/scan-methods-null-fin-xmas-scan.html
-- False positives  none known: every segment of a connection but the first has ACK
-- Action           alert (low), drop

require('protocol/tcp')

haka.rule {
    on = haka.dissectors.tcp.events.receive_packet,
    eval = function (pkt)
        local flags = pkt.flags
        if not (flags.fin and flags.psh and flags.urg) or flags.ack then return end

        haka.alert {
            severity = 'low',
            description = 'Xmas scan',
            sources = haka.alert.address(pkt.src),
            targets = {
                haka.alert.address(pkt.dst),
                haka.alert.service(string.format('tcp/%d', pkt.dstport)),
            },
        }
        pkt:drop()
    end,
}
