-- Refuses requests for one path.
require('protocol/http')

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (http, request)
        if request.uri:find('/admin', 1, true) then http:drop() end
    end,
}
