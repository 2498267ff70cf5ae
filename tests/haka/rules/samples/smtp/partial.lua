-- The exercise before it is solved: the grammar is not there yet.

local tcp_connection = require('protocol/tcp_connection')

local Smtp = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 'smtp' }

Smtp.grammar = haka.grammar.new('smtp', function ()
  command = record { fail('incomplete grammar') }
  response = record {
    field('code', token('[0-9]{3}')), token('[^%r%n]*'), token('%r%n'),
  }
  export(command, response)
end)

Smtp.state_machine = haka.state_machine.new('smtp', function ()
  state_type(BidirectionalState)
  any:on { event = events.fail, execute = function (self) self:drop() end }
  any:on {
    event = events.parse_error,
    execute = function (_, err) haka.alert { description = tostring(err), severity = 'low' } end,
    jump = fail,
  }
  greeting = state(nil, Smtp.grammar.response)
  talking = state(Smtp.grammar.command, Smtp.grammar.response)
  greeting:on { event = events.down, jump = talking }
  initial(greeting)
end)

haka.policy {
  name = 'smtp',
  on = haka.dissectors.tcp_connection.policies.next_dissector,
  port = 25,
  action = haka.dissectors.smtp.install,
}
