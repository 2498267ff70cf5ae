-- Numbers, flags, alignment: values, positions, writing.

local host, lib, test = ...

local equal, raises = test.equal, test.raises
local tests = {}

local function from(bytes) return haka.vbuffer_from(bytes) end

local function parse(bytes, definition)
  local g = haka.grammar.new('test', definition)
  local buffer = from(bytes)
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
  equal(r.a, 1) equal(r.b, 0x203) equal(r.c, 0) equal(r.d, 0x405) equal(r.e, 0x60708 % 2^24)
  r.e = 0xffeedd
  r.d = 0xabc
  equal(buffer:sub():asstring(), '\1\2\3\10\188\255\238\221')
  equal(r.nothing, nil)
end

return tests
