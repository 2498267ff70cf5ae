-- Method, uri and three headers of every request.

require('protocol/http')

local seen = 0

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (_, request)
        local headers = request.headers
        if request.method == 'GET' and request.uri ~= '/none' and headers['Host']
            and headers['User-Agent'] and headers['Cookie'] then
            seen = seen + 1
        end
    end,
}
