-- A block list of server names.

require('protocol/tls')

local listed = { ['tracker.example'] = true }

haka.rule {
    on = haka.dissectors.tls.events.client_hello,
    eval = function (tls, hello)
        if listed[hello.sni] then tls:drop() end
    end,
}
