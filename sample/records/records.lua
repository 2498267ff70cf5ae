-- A dissector of a small binary protocol over TCP, as others would be
-- written: each record is a length of two bytes, a kind of one byte, and as
-- many bytes of body as the length says.
--
-- Event: `record(records, record, direction)`; `record.kind`, `record.length`
-- and `record.body` are live: what is written to them leaves on the wire.

local tcp_connection = require('protocol/tcp_connection')

local Records = haka.dissector.new {
  type = tcp_connection.helper.TcpFlowDissector,
  name = 'records',
}

Records:register_event('record')

-- Longer bodies are refused: a record is held until it is whole.
local LONGEST = 4096

Records.grammar = haka.grammar.new('records', function ()
  entry = record {
    field('length', number(16)),
    verify(function (result) return result.length <= LONGEST end, 'record is too long'),
    field('kind', number(8)),
    field('body', bytes():count(function (result) return result.length end)),
  }
  export(entry)
end)

Records.state_machine = haka.state_machine.new('records', function ()
  state_type(BidirectionalState)

  open = state(Records.grammar.entry, Records.grammar.entry)

  open:on {
    event = events.up,
    execute = function (self, entry) self:trigger('record', entry, 'up') end,
  }
  open:on {
    event = events.down,
    execute = function (self, entry) self:trigger('record', entry, 'down') end,
  }
  -- A client that has said nothing for so long is let go.
  open:on {
    event = events.timeout(600),
    execute = function (self) self:drop() end,
    jump = finish,
  }
  any:on {
    event = events.parse_error,
    execute = function (self, err)
      haka.alert {
        severity = 'high',
        description = 'invalid record: ' .. tostring(err),
        sources = haka.alert.address(self.srcip),
      }
      self:drop()
    end,
    jump = fail,
  }

  initial(open)
end)

haka.policy {
  name = 'records',
  on = haka.dissectors.tcp_connection.policies.next_dissector,
  port = 7070,
  action = haka.dissectors.records.install,
}

return Records
