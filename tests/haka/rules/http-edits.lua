-- What each response is told to become comes from the place it has on its
-- connection: the first one shrinks, the second grows, the third keeps its size.
require('protocol/http')
local events = haka.dissectors.http.events
local words = { { 'some', '' }, { 'some', 'quite some considerable' }, { 'some', 'SOME' } }

haka.rule {
    on = events.request,
    eval = function (_, request)
        request.headers['X-Extra'] = nil
        request.headers['X-Added'] = 'by a rule'
    end,
}

haka.rule {
    on = events.response,
    eval = function (http)
        http.answers = (rawget(http, 'answers') or 0) + 1
        http:enable_data_modification()
    end,
}

haka.rule {
    on = events.response_data,
    options = { streamed = true },
    eval = function (http, iter)
        local change = words[http.answers]
        local word = require('regexp/pcre').re:compile(change[1])
        while iter:wait() do
            local found = word:match(iter, true)
            if not found then break end
            found:replace(haka.vbuffer_from(change[2]))
        end
    end,
}
