-- Drops the query for one name.

require('protocol/ipv4')
require('protocol/dns')

haka.rule {
  on = haka.dissectors.dns.events.query,
  eval = function (_, query)
    if query.question.name == 'www.example.org.' then query:drop() end
  end
}

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (_, response)
    haka.log('response %d', response.id)
  end
}
