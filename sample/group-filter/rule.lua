-- Group filter: rules that allow one port each, and one end for all others.

require('protocol/tcp_connection')

local group = haka.rule_group {
    on = haka.dissectors.tcp_connection.events.new_connection,

    -- A rule that returns true has allowed the connection: the group ends.
    continue = function (allowed)
        return not allowed
    end,

    -- Reached only if no rule did.
    final = function (flow, tcp)
        haka.alert {
            severity = 'low',
            description = 'no rule allows this connection',
            sources = haka.alert.address(flow.srcip),
            targets = {
                haka.alert.address(flow.dstip),
                haka.alert.service(string.format('tcp/%d', flow.dstport)),
            },
        }
        tcp:drop()
    end,
}

group:rule {
    eval = function (flow)
        return flow.dstport == 80
    end,
}

group:rule {
    eval = function (flow)
        return flow.dstport == 22
    end,
}
