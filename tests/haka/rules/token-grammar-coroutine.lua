require('protocol/tcp_connection')

local message = haka.grammar.new('message', function ()
  eol = token('%r?%n')
  line = sequence { token('hello'):apply(function (value, _, ctx) ctx.first = value end), token(' '),
    token('[a-z]+'):apply(function (value, _, ctx) ctx.user.line = ctx.first .. ' ' .. value end), eol }
  header = record { field('name', token('[^: ]+')), token(': '), field('value', token('[^%r%n]+')), eol }
  headers = record {
    field('list', array(header):untilcond(function (_, ctx) return ctx:lookahead() == 13 end)), eol,
  }
  export(line, headers)
end)

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter, dir)
    if dir ~= 'up' then return end
    local mark = iter:copy()
    mark:mark()
    local user = {}
    local _, err = message.line:parse(iter, user)
    mark:unmark()
    if err then return haka.log('%s', err) end
    haka.log('hello_world= %s', user.line)
    local headers, problem = message.headers:parse(iter)
    if problem then return haka.log('%s', problem) end
    for _, header in ipairs(headers.list) do haka.log('%s: %s', header.name, header.value) end
  end,
}
