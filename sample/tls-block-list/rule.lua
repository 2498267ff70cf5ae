-- TLS block list: who asks for a listed name, or is a listed client, gets no
-- answer, over TCP and over QUIC.
--
-- Detects          a server name or JA4 of the lists below, in the hello of a
--                  client on any TCP port, and on UDP port 443
-- Reference        ATT&CK T1071.001, Web Protocols; JA4, FoxIO
-- False positives  JA4 names a library and how it is used, not a program
-- Limits           names in an encrypted hello (ECH) are those of the front
-- Action           alert (medium), drop the connection before the hello gets
--                  to the server

require('protocol/tls')
require('protocol/quic')

local names = { ['tracker.example'] = true }
local clients = { ['t12d030400_f81807f6db74_38660d1a2b28'] = 'a tool' }

-- The listed name that a name is or lies below.
local function listed(name)
    name = name and name:lower()
    while name do
        if names[name] then return name end
        name = name:match('^[^.]+%.(.+)$')
    end
end

local function refuse(connection, what)
    haka.alert {
        severity = 'medium',
        description = what,
        sources = haka.alert.address(connection.srcip),
        targets = haka.alert.address(connection.dstip),
    }
    connection:drop()
end

local function judge(connection, hello)
    local name = listed(hello.sni)
    if name then
        return refuse(connection, string.format('listed name %s asked for', hello.sni))
    end
    local client = clients[hello.ja4]
    if client then
        return refuse(connection, string.format('listed client: %s', client))
    end
end

haka.rule { on = haka.dissectors.tls.events.client_hello, eval = judge }
haka.rule { on = haka.dissectors.quic.events.client_hello, eval = judge }
