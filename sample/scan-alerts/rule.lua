-- Scan alerts: three signs of someone looking around.

require('protocol/ipv4')
require('protocol/ipv6')
require('protocol/tcp')

local PORTS = 10        -- to as many different ports one may knock

local function report(description, pkt)
    haka.alert {
        severity = 'medium',
        description = description,
        sources = haka.alert.address(pkt.src),
        targets = haka.alert.address(pkt.dst),
    }
end

-- Land: a packet from its own destination.
local function refuse_land(pkt)
    if pkt.src == pkt.dst then
        report('Land attack', pkt)
        pkt:drop()
    end
end

haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = refuse_land }
haka.rule { on = haka.dissectors.ipv6.events.receive_packet, eval = refuse_land }

-- Xmas: lit like a tree.
haka.rule {
    on = haka.dissectors.tcp.events.receive_packet,
    eval = function (pkt)
        local flags = pkt.flags
        if flags.fin and flags.psh and flags.urg and not flags.ack then
            report('Xmas scan', pkt)
            pkt:drop()
        end
    end,
}

-- Port scan: one source, many ports. This remembers for ever; the rule in
-- rules/tcp/port-scan.lua forgets and has a cap.
local ports_of = {}

haka.rule {
    on = haka.dissectors.tcp.events.receive_packet,
    eval = function (pkt)
        if not pkt.flags.syn or pkt.flags.ack then return end

        local source = tostring(pkt.src)
        local ports = ports_of[source] or { count = 0 }
        ports_of[source] = ports
        if ports[pkt.dstport] then return end

        ports[pkt.dstport] = true
        ports.count = ports.count + 1
        if ports.count == PORTS then
            report('port scan', pkt)
        end
    end,
}
