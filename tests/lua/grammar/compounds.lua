-- Compounds: records, arrays, branches, unions, tries, recursion.

local host, lib, test = ...

local equal, raises, same = test.equal, test.raises, test.same
local tests = {}

local function from(bytes) return haka.vbuffer_from(bytes) end

local function parse(bytes, definition, user)
  local g = haka.grammar.new('test', definition)
  local buffer = from(bytes)
  local result, err = g.unique_export:parse(buffer:pos('begin'), user)
  return result, err, buffer
end

function tests.union_bits()
  local r, err = parse('\66\193\170', function ()
    root = record {
      field('a', number(7)), union { field('b', number(8)), field('c', number(3)) },
      field('d', number(9)),
    }
    export(root)
  end)
  equal(err, nil)
  equal(r.a, 0x21) equal(r.b, 96) equal(r.c, 3) equal(r.d, 0x1aa)
end

function tests.nested_unions()
  local r = parse('\1\2\3\4\5', function ()
    root = record {
      union { union { field('a', number(8)), field('b', number(16)) }, field('c', number(24)),
        union { field('d', number(8)) } },
      field('e', number(8)),
    }
    export(root)
  end)
  equal(r.a, 1) equal(r.b, 0x102) equal(r.c, 0x10203) equal(r.d, 1) equal(r.e, 4)
end

function tests.named_union_and_try()
  local r = parse('\1\2\3', function ()
    root = record {
      field('u', union { field('a', number(8)), field('b', number(16)) }),
      field('t', try { record { field('x', number(8)), fail('no') }, field('y', number(8)) }),
    }
    export(root)
  end)
  equal(r.u.a, 1) equal(r.u.b, 0x102) equal(r.a, nil)
  equal(r.t.y, 3) equal(r.t.x, nil) equal(r.y, nil)
  equal(rawget(r.t, '_parent'), r)
end

function tests.recursion()
  local r, err = parse('\2\1\0\0', function ()
    define('root')
    root = record {
      field('count', number(8)),
      field('child', array(root):count(function (self) return self.count end)),
    }
    export(root)
  end)
  equal(err, nil)
  equal(r.count, 2) equal(r.child[1].count, 1) equal(r.child[1].child[1].count, 0)
  equal(r.child[2].count, 0) equal(#r.child, 2)
end

function tests.recursion_has_a_limit()
  raises('grammar max recursion reached', parse, ('\1'):rep(40), function ()
    define('root')
    root = record { field('count', number(8)), root }
    export(root)
  end)
  raises('grammar max recursion reached', parse, ('\1'):rep(40), function ()
    define('root')
    root = array(root):count(1)
    export(root)
  end)
end

function tests.array_conditions()
  local r = parse('\1\2\0\4\5', function ()
    root = record {
      field('list', array(record { field('v', number(8)) })
        :untilcond(function (last, ctx) return last and last.v == 0 end)),
      field('rest', array(field('v', number(8)))
        :whilecond(function (last, ctx) return ctx:lookahead() >= 0 end)),
    }
    export(root)
  end)
  equal(#r.list, 3) equal(r.list[2].v, 2)
  equal(#r.rest, 2) equal(r.rest[2].v, 5)
  equal(class_of(r.rest), 'ArrayResult')
end

function class_of(value) return require and lib.class.classof(value).name end

function tests.array_without_stop_is_refused()
  raises("array 'x' never ends: it needs count, untilcond or whilecond", haka.grammar.new, 't',
    function () r = record { field('x', array(number(8))) } export(r) end)
end

function tests.array_remove_and_append()
  local r, err, buffer = parse('\2\1\1\2\2\9', function ()
    element = record { field('a', number(8)), field('b', number(8)) }
    root = record {
      field('count', number(8)),
      field('list', array(element):count(function (self) return self.count end)
        :creation(function (entity, init)
          local bytes = haka.vbuffer_allocate(2)
          local result = entity:create(bytes:pos('begin'), init)
          return bytes, result
        end)),
      field('end_', number(8)),
    }
    export(root)
  end)
  equal(err, nil)
  local list = r.list
  list:remove(list[1])
  equal(buffer:sub():asstring(), '\2\2\2\9') equal(#list, 1)
  list:append { a = 7, b = 8 }
  equal(buffer:sub():asstring(), '\2\2\2\7\8\9')
  equal(list[2].b, 8)
  list[2].b = 5
  equal(buffer:sub():asstring(), '\2\2\2\7\5\9')
  list:remove(2) list:remove(1) list:remove(1)
  equal(buffer:sub():asstring(), '\2\9') equal(#list, 0) equal(r.end_, 9)
  list:append { a = 3, b = 4 } list:append { a = 5, b = 6 }
  equal(buffer:sub():asstring(), '\2\3\4\5\6\9')
  equal(#list, 2) equal(list[1].a, 3)
end

function tests.append_without_creation()
  local r = parse('\1', function ()
    root = record { field('l', array(record { field('a', number(8)) }):count(1)) }
    export(root)
  end)
  raises('missing create function in array options', r.l.append, r.l, {})
end

function tests.branches()
  local definition = function ()
    root = record {
      field('kind', number(8)),
      branch({ one = field('x', number(8)), two = record { field('y', number(16)) },
        none = empty(), default = 'continue' }, function (self, ctx) return ctx.user[self.kind] end),
      field('last', number(8)),
    }
    export(root)
  end
  local names = { 'one', 'two', 'none' }
  local r = parse('\1\2\3', definition, names)
  equal(r.x, 2) equal(r.y, nil) equal(r.last, 3)
  r = parse('\2\2\3\4', definition, names)
  equal(r.y, 0x203) equal(r.x, nil) equal(r.last, 4)
  equal(parse('\3\2', definition, names).last, 2)
  equal(parse('\4\2', definition, names).last, 2)
end

function tests.branch_errors()
  local _, err = parse('\1', function ()
    a = branch({ x = number(8) }, function () return 'y' end)
    r = record { a }
    export(r)
  end)
  equal(tostring(err), 'parse error at byte 0 for field a in <unknown>: invalid case')
end

function tests.named_branch_gives_its_name_to_the_case()
  local definition = function ()
    r = record { field('v', branch({ [1] = number(8), [2] = number(16) },
      function (self, ctx) return ctx:lookahead() end)) }
    export(r)
  end
  equal(parse('\1\2', definition).v, 1)
  equal(parse('\2\2', definition).v, 0x202)
  raises("named element 'w' are not supported in named branch", haka.grammar.new, 't', function ()
    r = record { field('v', branch({ field('w', number(8)) }, function () return 1 end)) }
    export(r)
  end)
end

function tests.optional_needs_true()
  for value, expected in pairs { [true] = 7, [1] = 'none', [false] = 'none' } do
    local r = parse('\7', function ()
      r = record { optional(field('v', number(8)), function () return value end) }
      export(r)
    end)
    equal(r.v or 'none', expected)
  end
end

function tests.try_leaves_nothing_of_failures()
  local r, err = parse('\1\2\3', function ()
    root = record {
      try {
        record { field('a', number(8)), field('b', number(8)), verify(function () return false end, 'no') },
        record { field('c', number(8)), field('a2', number(16)) },
      },
    }
    export(root)
  end)
  equal(err, nil)
  equal(r.a, nil) equal(r.b, nil) equal(r.c, 1) equal(r.a2, 0x203)
  equal(rawget(r, '_parent'), nil)
end

function tests.try_all_failed()
  local _, err = parse('\1', function ()
    a = try { fail('x'), fail('y') }
    export(a)
  end)
  equal(tostring(err), 'parse error at byte 0 for field a in <unknown>: cannot find a successful try case')
end

function tests.parse_errors()
  local r, err = parse('\1\2', function ()
    root = record { field('a', number(8)), field('b', number(16)) }
    export(root)
  end)
  equal(tostring(err), 'parse error at byte 1 for field 2 in root: not enough data')
  equal(err:context(), 'parse error context: \\x02...')
  equal(r.a, 1) equal(r.b, nil)
  _, err = parse('\1\2', function ()
    root = record { number(8), fail('incomplete grammar') }
    export(root)
  end)
  equal(tostring(err), 'parse error at byte 1 for field 2 in <unknown>: incomplete grammar')
  _, err = parse('\1\2', function ()
    root = record { number(8), verify(function () return false end, 'bad') }
    export(root)
  end)
  equal(tostring(err), 'parse error at byte 1 for field 2 in root: bad')
  _, err = parse('', function () root = number(8) export(root) end)
  equal(tostring(err), 'parse error at byte 0 for field <unknown> in <unknown>: not enough data')
end

function tests.context_members()
  local seen = {}
  local r, err = parse('\1\2\3', function ()
    root = record {
      field('a', number(8)),
      field('in_', record {
        field('b', number(8)),
        execute(function (self, ctx)
          seen.self, seen.top, seen.user = self, ctx:result(1), ctx.user
          seen.last, seen.outer = ctx:result(), ctx:result(-2)
          seen.meter, seen.mark = ctx.iter.meter, ctx.retain_mark.meter
          ctx.mine = 3
          raises('invalid result index', ctx.result, ctx, 5)
        end),
        execute(function (_, ctx) seen.mine = ctx.mine ctx:error('stop %d', 5) end),
      }),
    }
    export(root)
  end, 'me')
  equal(seen.self, r.in_) equal(seen.top, r) equal(seen.last, r.in_) equal(seen.outer, r)
  equal(seen.user, 'me') equal(seen.meter, 2) equal(seen.mark, 1) equal(seen.mine, 3)
  equal(tostring(err), 'parse error at byte 2 for field 3 in root: stop 5')
  equal(rawget(r, '_user'), 'me')
end

function tests.two_errors_in_a_row()
  raises('multiple parse errors raised', parse, '\1', function ()
    root = record { execute(function (_, ctx) ctx:error('a') ctx:error('b') end) }
    export(root)
  end)
end

return tests
