-- Every query and response, printed whole.

require('protocol/ipv4')
require('protocol/dns')

local options = { hide = { debug.hide_underscore, debug.hide_function } }

haka.rule {
  on = haka.dissectors.dns.events.query,
  eval = function (_, query)
    print('query')
    debug.pprint(query, options)
  end
}

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (dns, response, query)
    print('response', dns.srcport, query.question.name)
    debug.pprint(response, options)
  end
}
