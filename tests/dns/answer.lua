-- Answers in the server's place, over both transports.

require('protocol/dns')
local ip = require('protocol/ip')

haka.rule {
  on = haka.dissectors.dns.events.query,
  eval = function (dns, query)
    local name = query.question.name
    if name == 'www.example.org.' then
      local family = query.question.type == 'AAAA' and '2001:db8::5' or '203.0.113.5'
      local response = query:reply { ip = ip.addr(family), ttl = 9 }
      response.aa = true
    elseif name == 'nowhere.example.org.' then
      query:reply { rcode = 'REFUSED' }
    elseif name == 'example.org.' then
      -- More than the client takes.
      local response = query:reply()
      for i = 1, 40 do
        response.answer:append { type = 'TXT', data = 'number-' .. i .. '-of-forty' }
      end
    elseif name == '_sip._udp.example.org.' then
      query:drop()
    end
  end
}

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (_, response)
    haka.log('response %s', response.question.name)
  end
}
