-- Port filter: no new connections to telnet.

require('protocol/tcp_connection')

local TELNET = 23

haka.rule {
    on = haka.dissectors.tcp_connection.events.new_connection,
    eval = function (flow, tcp)
        if flow.dstport ~= TELNET then return end

        haka.alert {
            severity = 'low',
            description = 'telnet is not allowed',
            sources = haka.alert.address(flow.srcip),
            targets = { haka.alert.address(flow.dstip), haka.alert.service('tcp/23') },
        }
        tcp:drop()
    end,
}
