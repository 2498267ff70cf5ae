-- Counts the bytes of a body and edits where the token's place falls: what is
-- left of it in each piece goes, and what replaces it comes with the first.
local order = require('order')

haka.rule {
    on = haka.dissectors.http.events.receive_data,
    eval = function (flow, data, direction)
        local now = order.of(flow, direction)
        if not now then return end
        local first, size = now.seen, #data
        now.seen = first + size
        local from = math.max(now.at - first, 0)
        local count = math.min(now.at + now.len - first, size) - from
        if from >= size or count <= 0 then return end
        local written = first <= now.at and now.written or 0
        if now.kept then
            data:sub(from, count):setfixedstring(string.rep('R', count))
        elseif written > 0 then
            data:sub(from, count):replace(haka.vbuffer_from(string.rep('R', written)))
        else
            data:sub(from, count):erase()
        end
    end,
}
