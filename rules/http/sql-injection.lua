-- SQL injection: queries and cookies that look like SQL, whatever they are coded as.
--
-- Detects          words and signs of SQL in the arguments of a uri and in cookies, scored
--                  after escapes, comments and blanks are undone; bodies are not looked at
-- Reference        CWE-89, ATT&CK T1190, Exploit Public-Facing Application
-- False positives  pages about SQL: name their paths in `safe_paths`
-- Action           alert (high), drop the connection

require('protocol/http')

local LIMIT = 8

local safe_paths = { ['/help'] = true }

-- Lua patterns, on text in lower case, and what each is worth.
local signs = {
    { "union[^%w]*select", 8 }, { "union[^%w]*all[^%w]*select", 8 },
    { "select", 3 }, { "insert", 3 }, { "update", 3 }, { "delete", 3 }, { "drop", 3 },
    { "from", 2 }, { "where", 2 }, { "having", 2 }, { "sleep%(", 4 }, { "benchmark%(", 4 },
    { "'", 4 }, { "%-%-", 4 }, { "[%W]or[%W]*%d+%s*=%s*%d+", 8 },
}

-- Escapes are undone until there are none, at most this often.
local DEPTH = 4

local function unescape(text)
    for _ = 1, DEPTH do
        local plain = text:gsub('+', ' '):gsub('%%(%x%x)', function (digits)
            return string.char(tonumber(digits, 16))
        end)
        if plain == text then break end
        text = plain
    end
    return text
end

local function decoded(text)
    return (unescape(text):lower():gsub('%z', ''):gsub('/%*.-%*/', ' '):gsub('%s+', ' '))
end

local function score_of(text)
    local score, plain = 0, decoded(text)
    for _, sign in ipairs(signs) do
        if plain:find(sign[1]) then score = score + sign[2] end
    end
    return score
end

-- Each rule adds what it found; the group decides at the end.
local injection = haka.rule_group {
    on = haka.dissectors.http.events.request,
    name = 'sql injection',
    init = function (http)
        http.sqli_score, http.sqli_where = 0, {}
    end,
    continue = function (exempt)
        return not exempt
    end,
    final = function (http, request)
        if http.sqli_score < LIMIT then return end
        haka.alert {
            severity = 'high',
            confidence = 'medium',
            description = string.format('SQL injection in %s (score %d)',
                table.concat(http.sqli_where, ' and '), http.sqli_score),
            method = { description = 'SQL injection', ref = 'cwe-89' },
            sources = haka.alert.address(http.srcip),
            targets = { haka.alert.address(http.dstip),
                haka.alert.service(string.format('tcp/%d', http.dstport), 'http') },
        }
        http:drop()
    end,
}

-- True for a request that the others need not look at.
injection:rule {
    eval = function (_, request)
        return safe_paths[request.split_uri:normalize().path] == true
    end,
}

local function look_at(http, where, values)
    local worst = 0
    for _, value in pairs(values or {}) do
        worst = math.max(worst, score_of(value))
    end
    if worst > 0 then
        http.sqli_score = http.sqli_score + worst
        table.insert(http.sqli_where, where)
    end
end

injection:rule {
    eval = function (http, request)
        look_at(http, 'the query', request.split_uri.args)
    end,
}

injection:rule {
    eval = function (http, request)
        look_at(http, 'a cookie', request.split_cookies)
    end,
}
