-- Block lists of server names and of clients.

require('protocol/tls')

local listed = { ['tracker.example'] = true }
local clients = { ['t13d1516h2_8daaf6152771_e5627efa2ab1'] = true }

haka.rule {
    on = haka.dissectors.tls.events.client_hello,
    eval = function (tls, hello)
        if listed[hello.sni] or clients[hello.ja4] then tls:drop() end
    end,
}
