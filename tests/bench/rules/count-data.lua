-- Counts the bytes of all TCP streams.

require('protocol/tcp_connection')

local n = 0

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    eval = function (flow, data)
        n = n + #data
    end,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(n .. ' bytes')
        n = 0
    end,
}
