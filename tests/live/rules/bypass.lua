-- Looks at the first data of a connection and lets the rest go by.

require('protocol/tcp_connection')

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    eval = function (flow, data, direction)
        if direction == 'up' then flow:bypass() end
    end,
}
