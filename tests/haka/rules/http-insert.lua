require('protocol/http')
local events = haka.dissectors.http.events

haka.rule {
    on = events.response,
    eval = function (http) http:enable_data_modification() end,
}

haka.rule {
    on = events.response_data,
    options = { streamed = true },
    eval = function (_, iter) iter:insert(haka.vbuffer_from('<<INS>>')) end,
}
