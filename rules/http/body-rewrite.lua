-- Body rewriting: puts a notice into web pages as they pass.
--
-- Detects          HTML pages; others are left alone, and so are pages that came in a
--                  content coding although none was asked for
-- Reference        RFC 9112, 7.1: the page goes out in chunks, since its length changes
-- False positives  a page that has `<head>` in a comment before its own
-- Action           rewrite

require('protocol/http')
local rem = require('regexp/pcre')

local NOTICE = '<meta name="notice" content="seen by wero">'
local head = rem.re:compile('<head>', rem.re.CASE_INSENSITIVE)

-- A page that comes as it is can be changed.
haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (_, request)
        request.headers['Accept-Encoding'] = nil
    end,
}

haka.rule {
    on = haka.dissectors.http.events.response,
    eval = function (http, response)
        local kind = response.headers['Content-Type'] or ''
        http.is_page = kind:find('^text/html') ~= nil and not response.headers['Content-Encoding']
        if http.is_page then http:enable_data_modification() end
    end,
}

haka.rule {
    on = haka.dissectors.http.events.response_data,
    options = { streamed = true },
    eval = function (http, iter)
        if not http.is_page then return end
        -- The expression waits for more of the page where it ends in between.
        if head:match(iter) then
            iter:insert(haka.vbuffer_from(NOTICE))
        end
    end,
}
