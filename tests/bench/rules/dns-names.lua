-- Reads the name of every query, and name, type and address of every answer.

require('protocol/dns')

local events = haka.dissectors.dns.events
local queries, answers, bad = 0, 0, 0

haka.rule {
    on = events.query,
    eval = function (dns, query)
        queries = queries + 1
        if query.question.name == 'bad.example.' then bad = bad + 1 end
    end,
}

haka.rule {
    on = events.response,
    eval = function (dns, response)
        if response.question.name == 'bad.example.' then bad = bad + 1 end
        local list = response.answer
        for i = 1, #list do
            local record = list[i]
            if record.name == 'bad.example.' then bad = bad + 1 end
            if record.type == 'A' and record.ip then answers = answers + 1 end
        end
    end,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(queries .. ' queries, ' .. answers .. ' answers')
        queries, answers = 0, 0
    end,
}
