-- Land: a packet that claims to come from its own destination.
--
-- Detects          equal source and destination address, IPv4 or IPv6, whatever the
--                  protocol. Old stacks answered such a SYN to themselves for ever.
-- Reference        CVE-1999-0016
-- False positives  none on a link between hosts: a host talks to itself over its
--                  loopback interface, whose addresses are left out here
-- Action           alert (high), drop

local ip = require('protocol/ip')
require('protocol/ipv4')
require('protocol/ipv6')

local loopback = {
    ip.network('127.0.0.0/8'),
    ip.network('::1/128'),
}

local function is_loopback(address)
    for _, network in ipairs(loopback) do
        if network:contains(address) then return true end
    end
    return false
end

local function refuse_land(pkt)
    if pkt.src ~= pkt.dst or is_loopback(pkt.src) then return end

    haka.alert {
        severity = 'high',
        description = 'Land attack: source and destination are the same host',
        method = { ref = 'cve/1999-0016' },
        sources = haka.alert.address(pkt.src),
        targets = haka.alert.address(pkt.dst),
    }
    pkt:drop()
end

haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = refuse_land }
haka.rule { on = haka.dissectors.ipv6.events.receive_packet, eval = refuse_land }
