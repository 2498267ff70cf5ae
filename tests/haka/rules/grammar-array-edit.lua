require('protocol/tcp_connection')

local list_of_pairs = haka.grammar.new('list', function ()
  entry = record { field('a', number(8)), field('b', number(8)) }
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
    local message = list_of_pairs.message:parse(iter)
    message.list:remove(2)
    message.list:append { a = 0x80, b = 0x05 }
  end,
}
