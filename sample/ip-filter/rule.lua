-- IP filter: drops all that comes from one host or one network.

local ip = require('protocol/ip')
require('protocol/ipv4')
require('protocol/ipv6')

local forbidden_host = ip.addr('203.0.113.66')
local forbidden_network = ip.network('2001:db8:bad::/48')

local function is_forbidden(address)
    return address == forbidden_host or forbidden_network:contains(address)
end

local function filter(pkt)
    if not is_forbidden(pkt.src) then return end

    haka.alert {
        severity = 'low',
        description = 'packet from a forbidden source',
        sources = haka.alert.address(pkt.src),
        targets = haka.alert.address(pkt.dst),
    }
    pkt:drop()
end

haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = filter }
haka.rule { on = haka.dissectors.ipv6.events.receive_packet, eval = filter }
