-- HTTP on a gateway: some paths of a site are for insiders, and every answer
-- says that it was looked at.
--
-- Detects          a request for a listed path, or for anything below one,
--                  however it is written
-- Reference        CWE-425, Direct Request; RFC 3986, 6.2.2 (normalization)
-- False positives  visitors whose network is not in `insiders`
-- Action           alert (medium), reset the connection before the request
--                  gets to the server; a header in each response

local ip = require('protocol/ip')
require('protocol/http')

local insiders = ip.network('10.9.0.0/16')
local listed = { '/admin', '/server-status' }

local function is_listed(path)
    for _, start in ipairs(listed) do
        if path == start or path:sub(1, #start + 1) == start .. '/' then return true end
    end
end

haka.rule {
    name = 'paths for insiders',
    on = haka.dissectors.http.events.request,
    eval = function (http, request)
        local path = request.split_uri:normalize().path
        if not is_listed(path) or insiders:contains(http.srcip) then return end
        haka.alert {
            severity = 'medium',
            description = string.format('%s asked for from outside', path),
            sources = haka.alert.address(http.srcip),
            targets = { haka.alert.address(http.dstip), haka.alert.service('tcp/' .. http.dstport) },
        }
        http:reset()
    end,
}

haka.rule {
    name = 'seen',
    on = haka.dissectors.http.events.response,
    eval = function (_, response)
        response.headers['X-Inspected-By'] = 'wero'
    end,
}
