-- A long alternation with `%` escapes on what is asked for.
require('protocol/http')
local re = require('regexp/pcre').re

local odd = re:compile('%.(?:bak|old|swp)$|/(?:etc|cgi%-bin)/|%.%./|/page/2(?:%?.*)?$|%d{9,}|union%s+select',
    re.CASE_INSENSITIVE)

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (http, request)
        if odd:match(request.uri) then
            haka.alert {
                severity = 'medium',
                description = 'odd ' .. request.method .. ' of ' .. request.uri,
                sources = haka.alert.address(http.srcip),
            }
        end
    end,
}
