-- Stream rewrite: replaces, erases and inserts bytes of a mail conversation.

require('protocol/tcp_connection')

-- The place of `text` in `data`, as a part that can be edited.
local function find(data, text)
    local first = data:asstring():find(text, 1, true)
    return first and data:sub(first - 1, #text)
end

local function rewrite_server(data)
    local version = find(data, ' Postfix 3.4.9')
    if version then
        version:erase()
        data:pos('begin'):insert(haka.vbuffer_from('220-mail.example.com reads your mail\r\n'))
        return
    end

    local command = find(data, '250-VRFY\r\n')
    if command then command:erase() end
end

local function rewrite_client(data)
    local name = find(data, 'alices-laptop.internal.example')
    if name then name:replace(haka.vbuffer_from('mx.example.net')) end
end

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    eval = function (flow, data, dir)
        if dir == 'up' then
            rewrite_client(data)
        else
            rewrite_server(data)
        end
    end,
}
