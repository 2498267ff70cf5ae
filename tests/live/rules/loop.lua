-- One rule that never comes back, for those who ask for it.

require('protocol/tcp_connection')

local connections = haka.dissectors.tcp_connection

haka.rule {
    on = connections.events.new_connection,
    eval = function (flow)
        print(string.format('new worker=%d port %d', haka.current_thread(), flow.srcport))
    end,
}

haka.rule {
    name = 'loops',
    on = connections.events.receive_data,
    eval = function (flow, data, direction)
        if direction == 'up' and data:find('loop') then
            while true do end
        end
    end,
}
