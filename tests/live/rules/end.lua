-- Ends connections in the way that their client asks for.

require('protocol/tcp_connection')

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    eval = function (flow, data, direction)
        if direction ~= 'up' then return end
        local text = data:asstring()
        if text:find('please reset', 1, true) then
            flow:reset()
        elseif text:find('please halfreset', 1, true) then
            flow:halfreset()
        elseif text:find('please drop', 1, true) then
            flow:drop()
        end
    end,
}
