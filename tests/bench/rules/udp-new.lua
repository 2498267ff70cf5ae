-- Hears every new UDP flow.

require('protocol/udp_connection')

local n = 0

haka.rule {
    on = haka.dissectors.udp_connection.events.new_connection,
    eval = function (flow)
        if flow.dstport == 53 then n = n + 1 end
    end,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(n .. ' flows')
        n = 0
    end,
}
