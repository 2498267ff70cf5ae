-- Puts streams together out of packets that it keeps, and replaces the lines
-- that are but a tilde.

local tcp = require('protocol/tcp')

local ends = {}

local function edit(first)
    local data = first:sub('available')
    if not data then return end
    -- From the end, so that the places before stay where they are.
    local places = {}
    for at in data:asstring():gmatch('()~') do table.insert(places, 1, at) end
    for _, at in ipairs(places) do
        data:sub(at - 1, 1):replace(haka.vbuffer_from('a longer line than before'))
    end
end

haka.rule {
    on = haka.dissectors.tcp.events.receive_packet,
    eval = function (pkt)
        local from, to = pkt.src .. ' ' .. pkt.srcport, pkt.dst .. ' ' .. pkt.dstport
        if pkt.flags.syn then
            ends[from] = ends[from] or tcp.tcp_stream()
            return ends[from]:init(pkt.seq + 1)
        end
        local mine, theirs = ends[from], ends[to]
        theirs:ack(pkt)
        local first = mine:push(pkt)
        if first then edit(first) end
        local out = mine:pop()
        while out do
            out:send()
            out = mine:pop()
        end
    end,
}
