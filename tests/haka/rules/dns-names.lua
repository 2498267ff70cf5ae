-- What is read of messages that can be read.

require('protocol/ipv4')
require('protocol/dns')

haka.rule {
  on = haka.dissectors.dns.events.query,
  eval = function (_, query) haka.log('query %s', query.question.name) end
}

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (_, response) haka.log('response %s', response.question.name) end
}
