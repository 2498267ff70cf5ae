-- Bad flags: combinations that no TCP should send.
--
-- Detects          null and FIN scans, SYN with FIN or RST, FIN with RST, used to tell
--                  systems apart or to slip past filters that look at SYN alone.
--                  xmas-scan.lua has the one with FIN, PSH and URG
-- Reference        RFC 9293, 3.5 and 3.10.7
-- False positives  T/TCP (RFC 1644, historic) sends SYN with FIN, a few middleboxes end
--                  connections by FIN with RST
-- Action           alert (low), drop

require('protocol/tcp')

local function fault_of(flags)
    if flags.syn and flags.fin then return 'SYN with FIN' end
    if flags.syn and flags.rst then return 'SYN with RST' end
    if flags.fin and flags.rst then return 'FIN with RST' end
    if flags.syn or flags.rst or flags.ack then return nil end
    if not flags.fin then return 'neither SYN, ACK nor RST' end
    if not (flags.psh and flags.urg) then return 'FIN without ACK' end
end

haka.rule {
    on = haka.dissectors.tcp.events.receive_packet,
    eval = function (pkt)
        local fault = fault_of(pkt.flags)
        if not fault then return end

        haka.alert {
            severity = 'low',
            description = 'impossible TCP flags: ' .. fault,
            sources = haka.alert.address(pkt.src),
            targets = {
                haka.alert.address(pkt.dst),
                haka.alert.service(string.format('tcp/%d', pkt.dstport)),
            },
        }
        pkt:drop()
    end,
}
