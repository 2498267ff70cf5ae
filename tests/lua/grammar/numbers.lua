-- Numbers, flags, alignment: values, positions, writing.

local host, lib, test = ...

local equal, raises = test.equal, test.raises
local tests = {}

local function parse(bytes, definition)
  local g = haka.grammar.new('test', definition)
  local buffer = haka.vbuffer_from(bytes)
  local result, err = g.unique_export:parse(buffer:pos('begin'))
  return result, err, buffer
end

function tests.record_of_fixed_fields()
  local r, err, buffer = parse('\1\2\3\4\5\6\7\8', function ()
    head = record {
      field('a', number(8)), field('b', number(16)), field('c', number(4)),
      field('d', number(12)), field('e', number(24)),
    }
    export(head)
  end)
  equal(err, nil)
  equal(r.a, 1) equal(r.b, 0x203) equal(r.c, 0) equal(r.d, 0x405) equal(r.e, 0x60708)
  r.e = 0xffeedd
  r.d = 0xabc
  equal(buffer:sub():asstring(), '\1\2\3\10\188\255\238\221')
  equal(r.nothing, nil)
end

-- Every width, at every place in a byte, both ways, whole and in pieces, for
-- numbers whose place is known when the grammar is compiled or not.
function tests.any_width_anywhere()
  local source = '\165\90\60\195\240\15\129\126\36\219\102'
  for width = 1, 64 do
    for skip = 0, 7 do
      for _, endian in ipairs { 'big', 'little' } do
        local g = haka.grammar.new('t', function ()
          known = record { number(8), Bits:new(skip), field('v', number(width, endian)), number(1) }
          unknown = record { number(8), Bits:new(function () return skip end), field('v', number(width, endian)) }
          export(known, unknown)
        end)
        local expected
        if skip + width <= 64 then
          expected = haka.vbuffer_from(source):sub(1):asbits(skip, width, endian)
        end
        for _, rule in ipairs { 'known', 'unknown' } do
          local buffer = haka.vbuffer_from(source)
          local r, err = g[rule]:parse(buffer:pos('begin'))
          equal(err, nil)
          local pieces = haka.vbuffer_from('')
          for byte in source:gmatch('.') do pieces:append(haka.vbuffer_from(byte)) end
          local apart = g[rule]:parse(pieces:pos('begin'))
          expected = expected or r.v
          equal(r.v, expected) equal(apart.v, expected)
          local value = width < 53 and 2 ^ width - 1 or 2 ^ (width - 1)
          r.v, apart.v = value, value
          equal(r.v, value) equal(apart.v, value)
          equal(pieces:sub():asstring(), buffer:sub():asstring())
          r.v = expected
          if width <= 53 then equal(buffer:sub():asstring(), source) end
        end
      end
    end
  end
end

function tests.numbers_that_do_not_fit()
  local r = parse('\1\2\3', function ()
    root = record { field('a', number(8)), field('b', number(4)), field('c', number(12)) }
    export(root)
  end)
  raises('setnumber: invalid number, value does not fit in 1 bytes', function () r.a = 256 end)
  raises('setbits: invalid number, value does not fit in 4 bits', function () r.b = 16 end)
  for _, bits in ipairs { 0, 65, 1.5, 'x' } do
    raises('invalid parameter 1, a number has from 1 to 64 bits', haka.grammar.new, 't',
      function () root = number(bits) end)
  end
end

function tests.alignment()
  local r = parse('\224\1\2\3\4\5', function ()
    root = record {
      field('a', number(3)), align(8), field('b', number(8)), align(32), field('c', number(8)),
      align(8), field('d', number(8)),
    }
    export(root)
  end)
  equal(r.a, 7) equal(r.b, 1) equal(r.c, 4) equal(r.d, 5)
end

-- Reading and writing follow the bytes through edits elsewhere.
function tests.fields_survive_edits()
  local r, _, buffer = parse('\1\2\3\4', function ()
    root = record { field('a', number(16)), field('b', number(16)) }
    export(root)
  end)
  buffer:pos(2):insert(haka.vbuffer_from('xyz'))
  buffer:pos('begin'):insert(haka.vbuffer_from('0'))
  equal(r.a, 0x102) equal(r.b, 0x304)
  r.b = 0x505
  equal(buffer:sub():asstring(), '0\1\2xyz\5\5')
  buffer:sub(0, 2):erase()
  raises('invalid buffer iterator', function () return r.a end)
  equal(r.b, 0x505)
end

function tests.definition_errors()
  local new = haka.grammar.new
  raises('grammar definition must be a function', new, 't', {})
  raises("'record' is reserved in the grammar scope", new, 't', function () record = number(8) end)
  raises('exported rule must be registered in the grammar: a', new, 't', function () define('a') export(a) end)
  raises('cannot create a try element without any case', new, 't', function () a = try {} end)
  raises("record expects an entity at place 2, got string", new, 't', function () a = record { number(8), 'x' } end)
  raises("option 'count' is not supported by number", new, 't', function () a = number(8):count(2) end)
  local g = new('t', function () a = number(8) b = number(8) export(a, b) end)
  raises("unknown grammar public rule 'c'", function () return g.c end)
  raises("unknown grammar public rule 'unique_export'", function () return g.unique_export end)
  raises('read-only table', function () g.a = 1 end)
  host.forget()
  new('t', function () end)
  equal(host.logs[1], "warn grammar: grammar 't' does not have any exported element")
  new('t', function () a = sequence { field('x', number(8)) } export(a) end)
  equal(host.logs[2], "warn grammar: named element 'x' are not supported in sequence")
end

function tests.globals_stay_as_they_are()
  local was, before = type, getmetatable(_G)
  some_global = 5
  local kept
  local g = haka.grammar.new('t', function ()
    type = number(8)
    root = record { field('t', type), execute(function () kept = type(1) end) }
    other_global = 7
    export(root)
  end)
  g.root:parse(haka.vbuffer_from('a'):pos())
  equal(type, was) equal(kept, 'number') equal(other_global, 7) equal(root, nil)
  pcall(haka.grammar.new, 't', function () a = number(8) error('x') end)
  equal(getmetatable(_G), before) equal(number, nil) equal(a, nil)
  function helper() return record { field('h', number(8)) } end
  g = haka.grammar.new('t', function () root = helper() export(root) end)
  equal(g.root:parse(haka.vbuffer_from('a'):pos()).h, 97)
end

function tests.predefined_entities_are_copied()
  local g = haka.grammar.new('t', function ()
    one = flag
    two = record { field('f', flag), number(7) }
    export(two)
  end)
  equal(g.two:parse(haka.vbuffer_from('\255'):pos()).f, true)
  equal(lib['grammar/entity'].words.flag.rule, nil)
end

return tests
