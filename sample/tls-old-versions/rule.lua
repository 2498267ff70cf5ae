-- Old TLS: refuses connections whose client offers nothing from TLS 1.2 on,
-- or whose server takes less.
--
-- Detects          SSL 2.0 to TLS 1.1, offered at best or chosen
-- Reference        RFC 8996, Deprecating TLS 1.0 and TLS 1.1
-- False positives  old devices that nobody can update: except their addresses
-- Limits           a connection seen from its middle shows no hello
-- Action           alert (low), reset the connection

require('protocol/tls')

local OLDEST = 0x0303
local NAMES = {
    [0x0002] = 'SSL 2.0', [0x0300] = 'SSL 3.0', [0x0301] = 'TLS 1.0', [0x0302] = 'TLS 1.1',
}

local function refuse(tls, who, version)
    haka.alert {
        severity = 'low',
        description = string.format('%s %s', who, NAMES[version] or string.format('version %#x', version)),
        sources = haka.alert.address(tls.srcip),
        targets = haka.alert.address(tls.dstip),
    }
    tls:reset()
end

-- TLS 1.3 and later have a list of versions; of that only the best counts.
local function best(hello)
    local version = hello.version
    for _, offered in ipairs(hello.versions) do
        -- Values such as 0x0a0a stand for nothing (RFC 8701).
        if offered % 0x1010 ~= 0x0a0a and offered > version then version = offered end
    end
    return version
end

haka.rule {
    on = haka.dissectors.tls.events.client_hello,
    eval = function (tls, hello)
        local version = best(hello)
        if version < OLDEST then refuse(tls, 'the client offers at best', version) end
    end,
}

haka.rule {
    on = haka.dissectors.tls.events.server_hello,
    eval = function (tls, hello)
        local version = hello.selected_version or hello.version
        if version < OLDEST then refuse(tls, 'the server chose', version) end
    end,
}
