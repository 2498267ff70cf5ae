-- DNS sinkhole: whoever asks for a bad name is led to an address of ours.
--
-- The query does not reach the server; the client gets an answer at once.
-- Questions for addresses get that of the sinkhole, where visitors can be
-- counted; all others learn that there is no such name. Names below a listed
-- domain are bad too, names that only end alike are not. Answers that bring
-- in a bad name by an alias are cut down in the same way.

require('protocol/dns')
local ip = require('protocol/ip')

local domains = { ['malware.example.'] = true, ['phish.example.'] = true }
local sinkhole = { A = ip.addr('10.2.0.99'), AAAA = ip.addr('2001:db8:2::99') }
local ttl = 60

-- The listed domain that a name is or lies in.
local function listed(name)
    name = name:lower()
    while name do
        if domains[name] then return name end
        name = name:match('^[^.]+%.(.+)$')
    end
end

local function tell(dns, name, domain)
    haka.alert {
        severity = 'medium',
        description = string.format('bad name %s asked for (%s)', name, domain),
        sources = haka.alert.address(dns.srcip),
        targets = haka.alert.address(dns.dstip),
    }
end

haka.rule {
    name = 'sinkhole',
    on = haka.dissectors.dns.events.query,
    eval = function (dns, query)
        local question = query.question
        local domain = question and listed(question.name)
        if not domain then return end
        tell(dns, question.name, domain)
        local address = sinkhole[question.type]
        if address then
            query:reply { ip = address, ttl = ttl }
        else
            query:reply { rcode = 'NXDOMAIN' }
        end
    end,
}

haka.rule {
    name = 'sinkhole for aliases',
    on = haka.dissectors.dns.events.response,
    eval = function (dns, response)
        for _, record in ipairs(response.answer) do
            local domain = listed(record.name)
            if domain then
                tell(dns, record.name, domain)
                return response:nxdomain()
            end
        end
    end,
}
