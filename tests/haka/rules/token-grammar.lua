require('protocol/tcp_connection')

local words = haka.grammar.new('words', function ()
  word = token('[a-z]+')
  pair = record { field('first', word), token('[ ]+'), field('second', word) }
  export(pair)
end)

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  eval = function (flow, data)
    local pair, err = words.pair:parse(data:pos('begin'))
    if err then return haka.log('%s', err) end
    haka.log('%s %s', pair.first, pair.second)
  end,
}
