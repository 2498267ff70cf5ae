-- Hears the beginning, every datagram and the end of UDP flows.

require('protocol/udp_connection')

local events = haka.dissectors.udp_connection.events
local new, received, ended = 0, 0, 0

haka.rule {
    on = events.new_connection,
    eval = function (flow)
        if flow.dstport == 53 then new = new + 1 end
    end,
}

haka.rule {
    on = events.receive_data,
    eval = function (flow, pkt, direction)
        if flow.dstport == 53 and direction == 'up' then received = received + 1 end
    end,
}

haka.rule {
    on = events.end_connection,
    eval = function (flow)
        ended = ended + 1
    end,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(new .. ' new, ' .. received .. ' queries')
        new, received = 0, 0
    end,
}
