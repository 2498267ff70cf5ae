require('protocol/http')
local events = haka.dissectors.http.events

haka.rule {
    on = events.request,
    eval = function (_, request)
        request.method = 'POST'
        request.uri = '/a/longer/uri'
        request.version = '2.0'
        request.headers['User-Agent'] = nil
        request.headers['host'] = 'x'
        request.headers['X-New'] = 'new'
        for _, value in pairs { '', 'a b', 'G\r\nX: y' } do
            print(pcall(function () request.method = value end))
        end
        print(pcall(function () request.headers['A'] = 'b\r\nC: d' end))
        print(request.method, #request.headers, request.headers[1].name, request.headers['NEW'])
    end,
}

haka.rule {
    on = events.response,
    eval = function (_, response)
        response.version = '3.0'
        response.status = '404'
        response.reason = 'Nothing here'
        response.headers['Server'] = nil
        response.headers['X-New'] = 'new'
    end,
}
