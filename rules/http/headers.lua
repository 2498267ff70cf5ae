-- Headers: takes out what tells too much, puts in what protects.
--
-- Detects          nothing; it rewrites requests and responses as they pass
-- Reference        OWASP HTTP Headers; CWE-200, Exposure of Sensitive Information
-- False positives  none; pages that want to be framed by others stop to be
-- Action           rewrite

require('protocol/http')

-- What clients claim about themselves and only a proxy of yours may say.
local from_clients = { 'X-Forwarded-For', 'X-Real-IP', 'Via' }
-- What servers say about their software.
local from_servers = { 'Server', 'X-Powered-By', 'X-AspNet-Version' }

local function remove(headers, names)
    for _, name in ipairs(names) do
        while headers[name] do headers[name] = nil end
    end
end

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (_, request)
        remove(request.headers, from_clients)
    end,
}

haka.rule {
    on = haka.dissectors.http.events.response,
    eval = function (_, response)
        remove(response.headers, from_servers)
        response.headers['X-Content-Type-Options'] = 'nosniff'
        response.headers['X-Frame-Options'] = 'SAMEORIGIN'
    end,
}
