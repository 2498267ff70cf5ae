-- An SMTP dissector (RFC 5321): commands, responses and mail content.
--
-- Events: `command(smtp, command)` with `name` and `argument`;
-- `response(smtp, response, command)` with `lines` of `code` and `text`, and
-- the name and argument of the command that it answers, nil for the banner
-- and the end of a mail;
-- `mail_content(smtp, ...)`, streamed: the bytes of a mail as they were sent,
-- without the line with the dot that ends it. Commands may be pipelined.
-- After STARTTLS the connection passes unread.

local class = require('class')
local tcp_connection = require('protocol/tcp_connection')

local Smtp = haka.dissector.new {
  type = tcp_connection.helper.TcpFlowDissector,
  name = 'smtp',
}

Smtp:register_event('command')
Smtp:register_event('response')
Smtp:register_streamed_event('mail_content')

-- Commands that wait for their response at a time, in a good conversation.
local MAX_PENDING = 100

Smtp.grammar = haka.grammar.new('smtp', function ()
  end_of_line = token('%r?%n')
  rest_of_line = token('[^%r%n]*')

  command = record {
    field('name', token('[A-Za-z]+')),
    optional(token('[ ]+'), function (_, ctx) return ctx:lookahead() == 0x20 end),
    field('argument', rest_of_line),
    end_of_line,
  }

  response_line = record {
    field('code', token('[0-9]{3}')),
    field('separator', token('[- ]?')),
    field('text', rest_of_line),
    end_of_line,
  }

  response = record {
    field('lines', array(response_line)
      :untilcond(function (line) return line ~= nil and line.separator ~= '-' end)),
  }

  content = sequence {
    bytes():untiltoken('%r%n%.%r%n')
      :chunked(function (_, sub, last, ctx) ctx.user:push_mail(sub, last) end),
    token('%r%n%.%r%n'),
  }

  -- A mail of no lines: the line break before the dot is that of DATA.
  no_content = record {
    token('%.%r%n'),
    execute(function (_, ctx) ctx.user:push_mail(nil, true) end),
  }

  mail = branch({
    content = content,
    dot = try { no_content, content },
  }, function (_, ctx) return ctx:lookahead() == 0x2e and 'dot' or 'content' end)

  export(command, response, mail)
end)

function Smtp.method:__init(flow)
  self._pending = {}
  class.super(Smtp).__init(self, flow)
end

-- Shows listeners a part of the mail, and lets it go again.
function Smtp.method:push_mail(sub, last)
  local stream = self._mail
  if not stream then return end
  local current = sub and stream:push(sub)
  if last then
    stream:finish()
    self._mail = nil
  end
  self:trigger('mail_content', stream, current or stream.data:pos('end'))
  stream:pop()
end

function Smtp.method:refuse(description, severity)
  haka.alert {
    description = description,
    severity = severity,
    sources = haka.alert.address(self.srcip),
    targets = haka.alert.address(self.dstip),
  }
  self:drop()
end

function Smtp.method:ask(command)
  if #self._pending >= MAX_PENDING then
    return self:refuse('too many pipelined smtp commands', 'medium')
  end
  if command.name:upper() == 'BDAT' then
    return self:refuse('smtp content in chunks (BDAT) is not read', 'medium')
  end
  -- Its fields are the bytes in the stream, which will be gone by then.
  self._pending[#self._pending + 1] = { name = command.name:upper(), argument = command.argument }
  self:trigger('command', command)
end

-- The command that a response answers; false for one that answers none.
function Smtp.method:answer(response)
  local command = table.remove(self._pending, 1) or false
  self:trigger('response', response, command or nil)
  return command
end

local function code_of(response)
  return response.lines[1].code
end

Smtp.state_machine = haka.state_machine.new('smtp', function ()
  state_type(BidirectionalState)

  greeting = state(nil, Smtp.grammar.response)
  talking = state(Smtp.grammar.command, Smtp.grammar.response)
  data = state(Smtp.grammar.mail, nil)
  unread = state(nil, nil)

  any:on {
    event = events.parse_error,
    execute = function (self, err)
      local what = { greeting = 'response', talking = 'message', data = 'data blob' }
      self:refuse(string.format('invalid smtp %s %s', what[self.state], err), 'high')
    end,
    jump = fail,
  }
  any:on {
    event = events.missing_grammar,
    when = function (_, direction) return direction == 'up' end,
    execute = function (self) self:refuse('unexpected client command', 'medium') end,
    jump = fail,
  }
  any:on {
    event = events.missing_grammar,
    execute = function (self) self:refuse('unexpected server response', 'medium') end,
    jump = fail,
  }

  greeting:on {
    event = events.down,
    when = function (_, response) return code_of(response) == '220' end,
    execute = function (self, response) self:answer(response) end,
    jump = talking,
  }
  greeting:on {
    event = events.down,
    execute = function (self, response)
      self:answer(response)
      haka.alert { description = 'unavailable service: ' .. response.lines[1].text,
        severity = 'low' }
    end,
    jump = unread,
  }

  talking:on {
    event = events.up,
    execute = function (self, command) self:ask(command) end,
  }
  talking:on {
    event = events.down,
    when = function (self, response)
      local first = self._pending[1]
      return first and first.name == 'DATA' and code_of(response) == '354'
    end,
    execute = function (self, response) self:answer(response) end,
    jump = data,
  }
  talking:on {
    event = events.down,
    when = function (self, response)
      local first = self._pending[1]
      return first and first.name == 'STARTTLS' and code_of(response) == '220'
    end,
    execute = function (self, response) self:answer(response) end,
    jump = unread,
  }
  talking:on {
    event = events.down,
    execute = function (self, response) self:answer(response) end,
  }

  data:on {
    event = events.enter,
    execute = function (self) self._mail = haka.vbuffer_sub_stream() end,
  }
  -- The mail itself is answered like a command.
  data:on {
    event = events.up,
    execute = function (self) table.insert(self._pending, 1, false) end,
    jump = talking,
  }

  unread:on {
    event = events.missing_grammar,
    execute = function (_, _, iter) iter:advance('available') end,
  }

  initial(greeting)
end)

haka.policy {
  name = 'smtp',
  on = haka.dissectors.tcp_connection.policies.next_dissector,
  port = haka.policy.set { 25, 587 },
  action = haka.dissectors.smtp.install,
}

return Smtp
