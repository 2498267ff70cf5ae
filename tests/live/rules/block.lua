-- Blocks a uri and adds a header to responses.

require('protocol/http')

haka.rule {
    name = 'forbidden',
    on = haka.dissectors.http.events.request,
    eval = function (http, request)
        if request.uri:find('^/forbidden') then
            haka.alert {
                severity = 'medium',
                description = 'forbidden uri ' .. request.uri,
                sources = haka.alert.address(http.srcip),
                targets = haka.alert.address(http.dstip),
            }
            http:reset()
        end
    end,
}

haka.rule {
    name = 'seen',
    on = haka.dissectors.http.events.response,
    eval = function (_, response)
        response.headers['X-Seen-By'] = 'wero'
    end,
}
