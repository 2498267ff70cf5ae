-- Callbacks: a count, a branch, an apply.

require('protocol/udp')

local data = haka.vbuffer_from(('\1\2\3\4\5\6\7\8\9\10'):rep(2))
local grammar = haka.grammar.new('bench', function ()
  rec = record {
    field('a', number(8)), field('b', bytes():count(function (self) return self.a end)),
    branch({ [1] = field('x', number(8)), [2] = field('y', number(16)) }, function (self) return self.a end),
    field('z', number(16)):apply(function (value, self) self.seen = value end),
  }
  export(rec)
end)

local sum = 0
haka.rule {
  on = haka.dissectors.udp.events.receive_packet,
  eval = function ()
    for _ = 1, 1000 do
      local iter = data:pos('begin')
      sum = sum + grammar.rec:parse(iter).seen
    end
  end,
}
