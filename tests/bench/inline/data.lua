-- Counts the bytes of all TCP streams.
require('protocol/tcp_connection')

local bytes = 0

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    eval = function (_, data) bytes = bytes + #data end,
}
