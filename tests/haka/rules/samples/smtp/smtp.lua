-- An SMTP dissector as the reference's sample has it: one state a turn.

local tcp_connection = require('protocol/tcp_connection')

local Smtp = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 'smtp' }

Smtp:register_event('command')
Smtp:register_event('response')
Smtp:register_streamed_event('mail_content')

Smtp.grammar = haka.grammar.new('smtp', function ()
  local eol = token('[%r]?%n')

  parameter = record { token('[ ]+'), field('parameter', token('[^%r%n]*')) }

  command = record {
    field('command', token('[[:alpha:]]+')),
    branch({ some = parameter, none = empty() }, function (_, ctx)
      return ctx:lookahead() == 0x20 and 'some' or 'none'
    end),
    eol,
  }

  response = record {
    field('code', token('[0-9]{3}')),
    field('sep', token('[- ]')),
    field('text', token('[^%r%n]*')),
    eol,
  }

  responses = record {
    field('responses', array(response)
      :untilcond(function (line) return line and line.sep == ' ' end)),
  }

  data = sequence {
    bytes():untiltoken('%r%n%.%r%n')
      :chunked(function (_, sub, last, ctx) ctx.user:push_data(sub, last) end),
    token('%r%n%.%r%n'),
  }

  export(command, responses, data)
end)

function Smtp.method:push_data(sub, last)
  local current = sub and self.mail:push(sub)
  if last then self.mail:finish() end
  self:trigger('mail_content', self.mail, current)
  self.mail:pop()
end

local function alert(description)
  haka.alert { description = description, severity = 'low' }
end

local function invalid(what)
  return function (_, err)
    haka.alert { description = string.format('invalid smtp %s %s', what, err), severity = 'high' }
  end
end

local function code(number)
  return function (_, response)
    local lines = response.responses
    return lines[#lines].code == number
  end
end

local function respond(self, response)
  self:trigger('response', response)
end

local function command(self, message)
  self:trigger('command', message)
end

Smtp.state_machine = haka.state_machine.new('smtp', function ()
  state_type(BidirectionalState)
  session_initiation = state(nil, Smtp.grammar.responses)
  client_initiation = state(Smtp.grammar.command, nil)
  response = state(nil, Smtp.grammar.responses)
  command_state = state(Smtp.grammar.command, nil)
  data_transmission = state(Smtp.grammar.data, nil)

  any:on { event = events.fail, execute = function (self) self:drop() end }
  any:on {
    event = events.missing_grammar,
    execute = function (_, direction)
      alert(direction == 'up' and 'unexpected client command' or 'unexpected server response')
    end,
    jump = fail,
  }

  session_initiation:on { event = events.parse_error, execute = invalid('response'), jump = fail }
  session_initiation:on { event = events.down, when = code('220'), jump = client_initiation }
  session_initiation:on {
    event = events.down,
    execute = function (_, message)
      alert('unavailable service: ' .. message.responses[1].text)
    end,
    jump = fail,
  }

  client_initiation:on { event = events.parse_error, execute = invalid('command'), jump = fail }
  client_initiation:on {
    event = events.up,
    when = function (_, message)
      local word = message.command:upper()
      return word == 'HELO' or word == 'EHLO'
    end,
    execute = command,
    jump = response,
  }
  client_initiation:on {
    event = events.up,
    execute = function () alert('invalid client initiation command') end,
    jump = fail,
  }

  response:on { event = events.parse_error, execute = invalid('response'), jump = fail }
  response:on { event = events.down, when = code('354'), execute = respond, jump = data_transmission }
  response:on { event = events.down, when = code('221'), execute = respond, jump = finish }
  response:on { event = events.down, execute = respond, jump = command_state }

  command_state:on { event = events.parse_error, execute = invalid('command'), jump = fail }
  command_state:on { event = events.up, execute = command, jump = response }

  data_transmission:on {
    event = events.enter,
    execute = function (self) self.mail = haka.vbuffer_sub_stream() end,
  }
  data_transmission:on { event = events.parse_error, execute = invalid('data blob'), jump = fail }
  data_transmission:on { event = events.up, jump = response }
  data_transmission:on { event = events.leave, execute = function (self) self.mail = nil end }

  initial(session_initiation)
end)

haka.policy {
  name = 'smtp',
  on = haka.dissectors.tcp_connection.policies.next_dissector,
  port = 25,
  action = haka.dissectors.smtp.install,
}
