-- Every part of both hellos is read.

require('protocol/tls')

local parts = { 'sni', 'alpn', 'version', 'versions', 'ciphers', 'extensions', 'groups', 'ja3', 'ja4' }
local count = 0

haka.rule {
    on = haka.dissectors.tls.events.client_hello,
    eval = function (_, hello)
        for i = 1, #parts do
            if hello[parts[i]] ~= nil then count = count + 1 end
        end
    end,
}

haka.rule {
    on = haka.dissectors.tls.events.server_hello,
    eval = function (_, hello)
        if hello.ja3s and hello.cipher and hello.selected_version then count = count + 1 end
    end,
}
