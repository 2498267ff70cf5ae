-- Options: converters, memoize, validate, apply, const, result, extra.

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

function tests.converters()
  local r, _, buffer = parse('\4\1\240', function ()
    root = record {
      field('len', number(8)):convert(converter.mult(4)),
      field('on', number(8)):convert(converter.bool),
      field('f', flag), field('g', number(7)),
    }
    export(root)
  end)
  equal(r.len, 16) equal(r.on, true) equal(r.f, true)
  r.len, r.on, r.f = 20, false, false
  equal(buffer:sub():asstring(), '\5\0\112')
  raises('invalid value, it must be a multiple of 4', function () r.len = 3 end)
end

function tests.memoize()
  local count = 0
  local r = parse('\4', function ()
    root = record { field('a', number(8)):convert({
      get = function (x) count = count + 1 return x end, set = function (x) return x end }, true) }
    export(root)
  end)
  equal(r.a + r.a, 8) equal(count, 1)
  r.a = 5
  equal(r.a + r.a, 10) equal(count, 2)
end

function tests.validate()
  local r, err, buffer = parse('\2\0hi!', function ()
    head = record {
      field('len', number(8)),
      field('sum', number(8)):validate(function (self) self.sum = self.len + 1 end),
      field('body', bytes():count(function (self) return self.len end)),
    }
    export(head)
  end)
  equal(err, nil)
  r.sum = nil
  r:validate()
  equal(buffer[2], 3) equal(r.body:asstring(), 'hi')
  r.sum = nil
  equal(r.sum, 3)
  r.sum = nil
  r.sum = 9
  r:validate()
  equal(buffer[2], 9)
  raises('invalid value for field len', function () r.len = nil end)
end

function tests.apply_and_const()
  local seen = {}
  local r, err = parse('\1\2\3', function ()
    root = record {
      field('a', number(8)):apply(function (v, res, ctx) seen[1] = v seen.res = res end)
        :apply(function (v) seen[2] = v * 10 end),
      field('n', record { field('b', number(8)) }):apply(function (v, res) seen[3] = v.b seen.same = rawequal(v, res) v.own = 1 end),
      number(8):const(3):const(function (res) return res.a + 2 end),
    }
    export(root)
  end)
  equal(err, nil)
  same({ seen[1], seen[2], seen[3] }, { 1, 10, 2 })
  equal(seen.res, r) equal(seen.same, true) equal(r.n.own, 1)
  _, err = parse('\1', function () root = record { number(8):const(2) } export(root) end)
  equal(tostring(err), "parse error at byte 1 for field 1 in root: incorrect value, expected '2' got '1'")
end

function tests.apply_on_references_comes_after_the_rules()
  local seen = {}
  parse('\1', function ()
    item = field('v', number(8)):apply(function () seen[#seen + 1] = 'rule' end)
    root = record { item:apply(function () seen[#seen + 1] = 'reference' end) }
    export(root)
  end)
  same(seen, { 'rule', 'reference' })
end

function tests.result_class_and_extra()
  local class = lib.class
  local Mine = class.class('Mine')
  Mine.property.double = { get = function (self) return self.a * 2 end }
  local r, _, buffer = parse('\4\5', function ()
    root = record { field('a', number(8)), field('n', record { field('b', number(8)) }:extra {
      half = function (self) return self.b / 2 end,
      twice = { get = function (self) return self.b * 2 end, set = function (self, v) self.b = v / 2 end },
    }) }:result(Mine)
    export(root)
  end)
  equal(class.classof(r), Mine) equal(r.double, 8) equal(r.n.half, 2.5)
  r.n.twice = 12
  equal(buffer[2], 6)
  raises('record extra need to be named', haka.grammar.new, 't', function ()
    root = record {}:extra { function () end }
  end)
end

function tests.own_newindex_does_not_see_what_is_parsed()
  local Strict = lib.class.class('Strict')
  function Strict.method:__newindex() error('written') end
  local r = parse('\4\5', function ()
    root = record { field('b', bytes():count(1)), field('a', number(8)) }:result(Strict)
    export(root)
  end)
  equal(r.a, 5) equal(r.b:asstring(), '\4')
end

function tests.properties_of_one_result_are_its_own()
  local g = haka.grammar.new('t', function () root = record { field('a', number(8)) } export(root) end)
  local buffer = from('\1')
  local one, two = g.root:parse(buffer:pos()), g.root:parse(buffer:pos())
  one:addproperty('b', function () return 5 end)
  equal(one.b, 5) equal(two.b, nil)
end

function tests.bytes_and_text()
  local r, err, buffer = parse('abcdef', function ()
    root = record { field('a', bytes():count(2)), field('t', text:count(2)), field('rest', bytes()) }
    export(root)
  end)
  equal(err, nil)
  equal(r.a:asstring(), 'ab') equal(r.t, 'cd') equal(r.rest:asstring(), 'ef')
  r.t = 'longer'
  equal(buffer:sub():asstring(), 'ablongeref') equal(r.t, 'longer')
  r.t = from('x')
  equal(buffer:sub():asstring(), 'abxef') equal(r.rest:asstring(), 'ef')
  _, err = parse('a', function () root = record { bytes():count(function () return -5 end) } export(root) end)
  equal(tostring(err), 'parse error at byte 0 for field 1 in root: byte count must not be negative, got -5')
  _, err = parse('ab', function () root = record { number(3), bytes() } export(root) end)
  equal(tostring(err), 'parse error at byte 0 for field 2 in root: byte primitive requires aligned bits')
  raises("bytes can't have both count and untiltoken", haka.grammar.new, 't', function ()
    root = bytes():count(1):untiltoken('a') end)
end

function tests.same_name_twice_keeps_the_last()
  local r = parse('\1\2\3', function ()
    root = record { field('a', number(8)), field('a', number(16)) }
    export(root)
  end)
  equal(r.a, 0x203)
  r = parse('\1\2\3', function ()
    root = record { field('a', number(8)), branch({ bytes():count(1), default = 'continue' }, function () return 1 end),
      branch({ [true] = field('a', bytes():count(1)), [false] = field('a', number(8)) }, function (s) return s.a == 1 end) }
    export(root)
  end)
  equal(r.a:asstring(), '\3')
end

function tests.names_are_data()
  local name = "x' .. error('run') .. '$fn"
  local r, err, buffer = parse('\1\2\3', function ()
    root = record { field(name, number(8)), field(name, number(8)), field('$t', record { field(name, number(3)) }) }
    export(root)
  end)
  equal(err, nil) equal(r[name], 2) equal(r['$t'][name], 0)
  r[name] = 5
  equal(buffer:sub():asstring(), '\1\5\3')
  raises('invalid value for field ' .. name, function () r[name] = nil end)
end

return tests
