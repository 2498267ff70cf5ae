require('protocol/tcp_connection')

local pairs_of_bits = haka.grammar.new('pairs', function ()
  entry = record { field('a', number(2)), field('b', number(14)) }
  message = record {
    field('length', number(8)),
    field('list', array(entry):count(function (self) return self.length / 2 end)
      :creation(function (entity, init)
        local bytes = haka.vbuffer_allocate(2)
        return bytes, entity:create(bytes:pos('begin'), init)
      end)),
  }
  export(message)
end)

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter, dir)
    if dir ~= 'up' then return end
    local message, err = pairs_of_bits.message:parse(iter)
    if err then return haka.log('%s', err) end
    local list = message.list
    list:remove(list[2])
    list:remove(1)
    list:append { a = 2, b = 5 }
    haka.log('%d: %d %d', #list, list[1].b, list[2].b)
  end,
}
