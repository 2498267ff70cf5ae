-- New connection firewall: default deny, by policies on network and port.

local ip = require('protocol/ip')
require('protocol/tcp_connection')

local new_connection = haka.dissectors.tcp_connection.policies.new_connection
local in_network = haka.policy.in_network

-- The last policy that fits decides: the default comes first.
haka.policy {
    on = new_connection,
    name = 'refuse by default',
    action = {
        haka.policy.alert { severity = 'low', description = 'connection refused' },
        haka.policy.drop,
    },
}

haka.policy {
    on = new_connection,
    name = 'web for everyone',
    dstport = haka.policy.set { 80, 443 },
    action = haka.policy.accept,
}

haka.policy {
    on = new_connection,
    name = 'shell for the admins',
    srcip = in_network(ip.network('10.1.0.0/24')),
    dstip = in_network(ip.network('10.2.0.0/16')),
    dstport = 22,
    action = haka.policy.accept,
}
