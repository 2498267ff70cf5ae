require('protocol/http')

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (http) http:reset() end,
}
