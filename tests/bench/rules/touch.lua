-- Every new flow gets a field: each has an object for as long as it lives.

require('protocol/tcp_connection')
require('protocol/udp_connection')

local function touch(flow)
    flow.seen = true
end

haka.rule { on = haka.dissectors.tcp_connection.events.new_connection, eval = touch }
haka.rule { on = haka.dissectors.udp_connection.events.new_connection, eval = touch }
