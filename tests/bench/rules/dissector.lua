-- A dissector in Lua that reads all streams, without a state machine.

local tcp_connection = require('protocol/tcp_connection')

local Plain = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 'plain' }
local bytes = 0

function Plain.method:receive_streamed(iter, direction)
    while iter:wait() do
        bytes = bytes + #iter:sub('available')
        self:continue()
    end
end

haka.policy {
    name = 'plain',
    on = haka.dissectors.tcp_connection.policies.next_dissector,
    action = haka.dissectors.plain.install,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(bytes .. ' bytes')
        bytes = 0
    end,
}
