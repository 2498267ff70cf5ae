-- A query can be changed while it is new, not once it has been sent.

require('protocol/ipv4')
require('protocol/dns')

haka.rule {
  on = haka.dissectors.dns.events.query,
  eval = function (_, query) query.ra = true end
}

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (_, _, query) query.id = 0xffff end
}
