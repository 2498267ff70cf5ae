local http = require('protocol/http')
local events = haka.dissectors.http.events
local log = haka.log

haka.rule {
    on = events.request,
    eval = function (http, request)
        log('request %s %s %s %s', request.method, request.uri, request.version, http.state)
        for name, value in pairs(request.headers) do log('  %s=%s', name, value) end
    end,
}

haka.rule {
    on = events.response,
    eval = function (http, response)
        log('response %s [%s] %s to %s', response.status, response.reason, response.version,
            http.request.uri)
    end,
}

haka.rule {
    on = events.request_data,
    eval = function (_, data) log('up %s', data:asstring()) end,
}

haka.rule {
    on = events.response_data,
    options = { streamed = true },
    eval = function (_, iter)
        local bytes, last = 0, ''
        for sub in iter:foreach_available() do
            bytes, last = bytes + #sub, sub:asstring():sub(-3)
        end
        log('down %d ..%s', bytes, last)
    end,
}
