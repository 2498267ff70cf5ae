-- Shellcode: machine code in a byte stream, however it is cut into segments.
--
-- Detects          32 NOP in a row, or openings of widespread x86 payloads. Encoded
--                  or self-made payloads stay unseen, and so does all of TLS and SSH
-- Reference        ATT&CK T1203, Exploitation for Client Execution
-- False positives  downloads of programs, core dumps: exclude their ports
-- Action           alert (high), drop the connection

require('protocol/tcp_connection')

local signatures = {
    { name = 'NOP sled', bytes = ('\x90'):rep(32) },
    { name = 'x86 Linux: execve of /bin//sh', bytes = '\x68\x2f\x2f\x73\x68\x68\x2f\x62\x69\x6e' },
    { name = 'x86-64 Linux: execve of /bin//sh', bytes = '\x48\xbb\x2f\x62\x69\x6e\x2f\x2f\x73\x68' },
    { name = 'x86 Windows: call, walk of the module list', bytes = '\x60\x89\xe5\x31\xd2\x64\x8b\x52\x30' },
    { name = 'x86-64 Windows: walk of the module list', bytes = '\x65\x48\x8b\x52\x60\x48\x8b\x52\x18' },
}

-- What a signature may have left in the bytes before.
local TAIL = 0
for _, signature in ipairs(signatures) do
    TAIL = math.max(TAIL, #signature.bytes - 1)
end

local function find_signature(bytes)
    for _, signature in ipairs(signatures) do
        if bytes:find(signature.bytes, 1, true) then return signature end
    end
end

local function refuse(flow, dir, signature)
    local server = haka.alert.service(string.format('tcp/%d', flow.dstport))
    local client_sent_it = dir == 'up'
    haka.alert {
        severity = 'high',
        description = 'shellcode: ' .. signature.name,
        sources = haka.alert.address(client_sent_it and flow.srcip or flow.dstip),
        targets = { haka.alert.address(client_sent_it and flow.dstip or flow.srcip), server },
    }
    flow:drop()
end

-- Runs once for each direction and waits for more bytes in the loop.
haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    options = { streamed = true },
    eval = function (flow, iter, dir)
        local tail = ''
        for sub in iter:foreach_available() do
            local bytes = tail .. sub:asstring()
            local signature = find_signature(bytes)
            if signature then
                return refuse(flow, dir, signature)
            end
            tail = bytes:sub(-TAIL)
        end
    end,
}
