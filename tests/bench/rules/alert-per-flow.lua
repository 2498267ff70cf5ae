-- One alert for each new UDP flow.

require('protocol/udp_connection')

haka.rule {
    on = haka.dissectors.udp_connection.events.new_connection,
    eval = function (flow)
        haka.alert {
            severity = 'low',
            description = 'a flow',
            sources = haka.alert.address(flow.srcip),
            targets = haka.alert.address(flow.dstip),
        }
    end,
}
