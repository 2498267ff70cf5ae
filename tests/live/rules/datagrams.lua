-- Judges each datagram by its first letter: refuses X, changes R, and says so.

require('protocol/udp_connection')

haka.rule {
    on = haka.dissectors.udp_connection.events.receive_data,
    eval = function (flow, pkt, direction)
        local first = pkt.payload:sub(0, 1)
        local letter = first:asstring()
        print('a datagram with ' .. letter)
        if letter == 'X' then
            pkt:drop()
        elseif letter == 'R' then
            first:replace(haka.vbuffer_from('rewritten '))
        end
    end,
}
