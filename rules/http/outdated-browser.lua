-- Outdated browser: sends whoever comes with an old Firefox to a page about updates.
--
-- Detects          the version in the user agent, which anybody can write
-- Reference        CWE-1104, Use of Unmaintained Third Party Components
-- False positives  browsers that give themselves an old name
-- Action           alert (low), the answer becomes a redirection

require('protocol/http')

local OLDEST = 128
local UPDATE = 'http://www.mozilla.org/firefox/new/'

haka.rule {
    on = haka.dissectors.http.events.response,
    eval = function (http, response)
        local request = http.request
        local agent = request.headers['User-Agent'] or ''
        local version = tonumber(agent:match('Firefox/(%d+)'))
        if not version or version >= OLDEST then return end

        haka.alert {
            severity = 'low',
            description = string.format('outdated browser: Firefox %d', version),
            sources = haka.alert.address(http.srcip),
        }
        response.status = '307'
        response.reason = 'Temporary Redirect'
        response.headers['Location'] = UPDATE
        response.headers['Content-Type'] = nil
    end,
}
