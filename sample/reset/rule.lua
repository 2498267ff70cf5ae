-- Reset: ends connections in which a forbidden word was said.

require('protocol/tcp_connection')

local function report(description, flow)
    haka.alert {
        severity = 'medium',
        description = description,
        sources = haka.alert.address(flow.srcip),
        targets = haka.alert.address(flow.dstip),
    }
end

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    eval = function (flow, data)
        local text = data:asstring()
        if text:find('secret', 1, true) then
            report('a secret was asked for: both ends are reset', flow)
            flow:reset()
        elseif text:find('flood', 1, true) then
            report('flood: the server is relieved, the client may wait', flow)
            flow:halfreset()
        end
    end,
}
