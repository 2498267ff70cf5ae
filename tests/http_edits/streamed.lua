-- Looks for the token in the stream of a body, wherever that is cut.
local order = require('order')
local rem = require('regexp/pcre')

local http = haka.dissectors.http
local token = rem.re:compile('#T+#')

local function replace(now, iter)
    if not now then return end
    while true do
        local found = token:match(iter, true)
        if not found then return end
        local text = string.rep('R', now.written)
        if now.kept then
            found:setfixedstring(text)
        else
            found:replace(haka.vbuffer_from(text))
        end
    end
end

haka.rule {
    on = http.events.request_data,
    options = { streamed = true },
    eval = function (flow, iter) replace(order.of(flow, 'up'), iter) end,
}

haka.rule {
    on = http.events.response_data,
    options = { streamed = true },
    eval = function (flow, iter) replace(order.of(flow, 'down'), iter) end,
}
