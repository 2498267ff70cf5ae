-- A record of ten fields, in a grammar with 200 more rules.

require('protocol/udp')

local data = haka.vbuffer_from(('\1\2\3\4\5\6\7\8\9\10'):rep(2))
local grammar = haka.grammar.new('bench', function ()
  rec = record {
    field('a', number(8)), field('b', number(8)), field('c', number(16)), field('d', number(32)),
    field('e', number(16)), field('f', number(4)), field('g', number(12)), field('h', number(32)),
    field('i', flag), number(15), field('j', number(16)),
  }
  define('tree')
  tree = record { field('n', number(8)), array(tree):count(function (self) return self.n end) }
  for i = 1, 200 do
    getfenv(1)['rule' .. i] = record { field('x', number(8)), field('y' .. i, bytes():count(i)) }
  end
  local all = {}
  for i = 1, 200 do all[i] = getfenv(1)['rule' .. i] end
  many = branch(all, function (self) return self.x end)
  export(rec, many, tree)
end)

local sum = 0
haka.rule {
  on = haka.dissectors.udp.events.receive_packet,
  eval = function ()
    for _ = 1, 1000 do
      local iter = data:pos('begin')
      sum = sum + (grammar.rec:parse(iter) and 1 or 0)
    end
  end,
}
