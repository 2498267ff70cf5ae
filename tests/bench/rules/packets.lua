-- Rules on packets only: no flow is touched.

require('protocol/tcp')
require('protocol/udp')
require('protocol/tcp_connection')
require('protocol/udp_connection')

local n = 0
local function count(pkt)
    if pkt.dstport == 53 then n = n + 1 end
end

haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = count }
haka.rule { on = haka.dissectors.udp.events.receive_packet, eval = count }
