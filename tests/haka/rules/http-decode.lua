require('protocol/http')
local events = haka.dissectors.http.events

haka.rule {
    on = events.response,
    eval = function (http)
        print(http:enable_data_decoding())
        print(pcall(http.enable_data_modification, http))
    end,
}

haka.rule {
    on = events.response_data,
    options = { streamed = true },
    eval = function (_, iter)
        local text = {}
        for sub in iter:foreach_available() do table.insert(text, sub:asstring()) end
        print(table.concat(text))
    end,
}
