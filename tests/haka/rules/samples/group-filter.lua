require('protocol/ipv4')
require('protocol/tcp_connection')

local safe = haka.rule_group {
  name = 'safe ports',
  on = haka.dissectors.tcp_connection.events.new_connection,
  init = function (flow) haka.log.debug('entering for port %d', flow.dstport) end,
  continue = function (ret) return not ret end,
  final = function (flow, pkt)
    haka.alert {
      description = 'connection to an unexpected port',
      severity = 'low',
      targets = { haka.alert.address(pkt.dst), haka.alert.service('tcp', flow.dstport) },
    }
    pkt:drop()
  end,
}

for _, port in ipairs { 80, 22 } do
  safe:rule { eval = function (flow) return flow.dstport == port end }
end
