-- Shellcode: finds machine code in a byte stream cut into many segments.

require('protocol/tcp_connection')

local signatures = {
    ['NOP sled'] = ('\x90'):rep(32),
    ['execve of /bin//sh'] = '\x68//sh\x68/bin',
}

local LONGEST = 32

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    options = { streamed = true },
    eval = function (flow, iter, dir)
        local tail = ''     -- the end of what came before: a signature may begin there
        for sub in iter:foreach_available() do
            local bytes = tail .. sub:asstring()
            for name, signature in pairs(signatures) do
                if bytes:find(signature, 1, true) then
                    haka.alert {
                        severity = 'high',
                        description = 'shellcode: ' .. name,
                        sources = haka.alert.address(flow.srcip),
                        targets = haka.alert.address(flow.dstip),
                    }
                    flow:drop()
                    return
                end
            end
            tail = bytes:sub(1 - LONGEST)
        end
    end,
}
