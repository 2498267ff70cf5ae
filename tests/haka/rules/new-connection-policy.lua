require('protocol/tcp_connection')

local policy = haka.dissectors.tcp_connection.policies.new_connection

haka.policy { on = policy, name = 'deny', action = { haka.policy.alert { severity = 'low' }, haka.policy.drop } }
haka.policy { on = policy, name = 'web', dstport = haka.policy.set { 80, 443 }, action = haka.policy.accept }

haka.rule {
  on = haka.dissectors.tcp_connection.events.new_connection,
  eval = function (flow) haka.log('new to %d', flow.dstport) end,
}
