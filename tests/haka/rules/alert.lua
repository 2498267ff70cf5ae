local ipv4 = require('protocol/ipv4')

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    local alert = haka.alert {
      start_time = pkt:parent().timestamp,
      end_time = pkt:parent().timestamp,
      severity = 'medium',
      confidence = 7,
      completion = 'successful',
      description = string.format('from %s', pkt.src),
      method = { description = 'a method', ref = { 'cve/1', 'cve/2' } },
      sources = { haka.alert.address(pkt.src, ipv4.network(pkt.src, 22)) },
      targets = { haka.alert.address(pkt.dst), haka.alert.service('tcp/22', 'ssh') },
    }
    alert:update {
      severity = 'high',
      description = 'more is known',
      ref = alert,
    }
  end,
}
