-- Replaces tokens in bodies, up and down, by as many bytes as the request asks
-- for in its header `X-Replacement`.

require('protocol/http')
local rem = require('regexp/pcre')

local http = haka.dissectors.http
-- A body that is too short for the token has its first character.
local token = rem.re:compile('#(TOKEN#)?')

haka.rule {
    on = http.events.request,
    eval = function (flow, request)
        local len = tonumber(request.headers['X-Replacement'])
        flow._up = len and string.rep('R', len)
        if len then flow:enable_data_modification() end
    end,
}

haka.rule {
    on = http.events.response,
    eval = function (flow)
        -- The request that is answered, not the last one of a pipeline.
        -- downloads are chunked anew: the answer to an upload has no token.
        local request = flow.request
        local len = request and tonumber(request.headers['X-Replacement'])
        flow._down = len and string.rep('R', len)
        if len then flow:enable_data_modification() end
    end,
}

local function replace(iter, text)
    if not text then return end
    while true do
        local found = token:match(iter, true)
        if not found then return end
        found:replace(haka.vbuffer_from(text))
    end
end

haka.rule {
    on = http.events.request_data,
    options = { streamed = true },
    eval = function (flow, iter) replace(iter, flow._up) end,
}

haka.rule {
    on = http.events.response_data,
    options = { streamed = true },
    eval = function (flow, iter) replace(iter, flow._down) end,
}
