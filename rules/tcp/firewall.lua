-- Firewall: which networks may open which connections; all others are refused.
--
-- Detects          the first SYN of a connection that no line below allows
-- Reference        none: change the networks and ports to yours
-- False positives  connections that were open before this was loaded are unknown and
--                  fall under `no_connection_found`, not under this policy
-- Action           alert (low), drop; later packets of the connection are dropped too

local ip = require('protocol/ip')
require('protocol/tcp_connection')

local new_connection = haka.dissectors.tcp_connection.policies.new_connection
local in_network = haka.policy.in_network

-- The last policy that fits decides: the default comes first.
haka.policy {
    on = new_connection,
    name = 'refuse by default',
    action = {
        haka.policy.alert { severity = 'low', description = 'connection refused by firewall' },
        haka.policy.drop,
    },
}

local function allow(name, from, to, ports)
    haka.policy {
        on = new_connection,
        name = name,
        srcip = in_network(ip.network(from)),
        dstip = in_network(ip.network(to)),
        dstport = haka.policy.set(ports),
        action = haka.policy.accept,
    }
end

allow('web',              '10.1.0.0/16',     '10.2.0.0/16',     { 80, 443 })
allow('web over IPv6',    '2001:db8:1::/48', '2001:db8:2::/48', { 80, 443 })
allow('shell for admins', '10.1.0.0/24',     '10.2.0.0/16',     { 22 })
