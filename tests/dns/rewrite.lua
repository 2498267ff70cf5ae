-- Changes what shrinks, keeps and grows messages.

require('protocol/dns')
local ip = require('protocol/ip')

haka.rule {
  on = haka.dissectors.dns.events.query,
  eval = function (_, query)
    if query.question.name == 'mail.example.org.' then
      query.question.name = 'post.a-much-longer-domain.example.net'
    end
  end
}

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (_, response)
    if response.id == 1 then
      -- Same size.
      for _, record in ipairs(response.answer) do
        record.ttl = 5
        if record.type == 'A' then record.ip = ip.addr('203.0.113.5') end
      end
      response.answer[1].owner = 'renamed.example.org'
    elseif response.id == 2 then
      -- Grows.
      response.answer:append { type = 'TXT', ttl = 7, data = '"added by a rule"' }
      response.additional:append { name = 'x.example.net', type = 'MX', data = '10 x.example.net.' }
    elseif response.id == 3 then
      -- Shrinks.
      response:nxdomain()
    end
  end
}
