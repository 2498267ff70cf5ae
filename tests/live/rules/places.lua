-- Tells where connections begin and which worker has them.

require('protocol/tcp_connection')

local connections = haka.dissectors.tcp_connection

haka.rule {
    on = connections.events.new_connection,
    eval = function (flow)
        print(string.format('new worker=%d %s port %d to %s port %d', haka.current_thread(),
            flow.srcip, flow.srcport, flow.dstip, flow.dstport))
    end,
}

haka.rule {
    on = connections.events.receive_data,
    eval = function (flow, data, direction)
        print(string.format('data worker=%d %s port %d %s', haka.current_thread(), flow.srcip,
            flow.srcport, direction))
    end,
}
