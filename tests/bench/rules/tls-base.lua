-- TCP connections are followed; nobody reads them.

require('protocol/tcp_connection')

local connections = 0

haka.rule {
    on = haka.dissectors.tcp_connection.events.new_connection,
    eval = function () connections = connections + 1 end,
}
