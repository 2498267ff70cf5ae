-- Methods and versions: requests that a web server need not answer.
--
-- Detects          methods outside a list, and versions other than 1.0 and 1.1
-- Reference        RFC 9110, 9.1 and 2.5; CWE-650, Trusting HTTP Permission Methods
-- False positives  WebDAV and programming interfaces: add their methods
-- Action           alert (low), drop the connection

require('protocol/http')

local methods = { GET = true, HEAD = true, POST = true, OPTIONS = true }
local versions = { ['1.0'] = true, ['1.1'] = true }

local function refuse(http, what)
    haka.alert {
        severity = 'low',
        description = what,
        sources = haka.alert.address(http.srcip),
        targets = haka.alert.address(http.dstip),
    }
    http:drop()
end

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (http, request)
        if not methods[request.method] then
            refuse(http, 'http method not allowed: ' .. request.method)
        elseif not versions[request.version] then
            refuse(http, 'http version not allowed: ' .. request.version)
        end
    end,
}
