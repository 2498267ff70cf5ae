local http = require('protocol/http')
local first

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (flow, request)
        print(flow.srcip, flow.srcport, flow.dstip, flow.dstport, flow.name)
        print(flow:parent().name, flow.request, flow.response)
        first = request.split_uri
        debug.pprint(request)
    end,
}

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (_, request)
        local uri = request.split_uri
        print(uri == first, uri.path, uri.args.b, uri.fragment, tostring(uri:normalize()))
        print(request.split_cookies.c, http.uri.normalize('HTTP://EXAMPLE.com:80/a/../b'))
    end,
}

haka.rule {
    on = haka.dissectors.http.events.response,
    eval = function (flow, response)
        print(flow.request.uri, response.status, response.split_cookies.e)
    end,
}
