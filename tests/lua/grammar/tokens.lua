-- Tokens and delimiters on plain buffers.

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

function tests.tokens_are_strings_that_can_be_written()
  local r, err, buffer = parse('GET /index HTTP', function ()
    root = record { field('method', token('[A-Z]+')), token(' +'), field('uri', token('[^ ]+')), field('rest', bytes()) }
    export(root)
  end)
  equal(err, nil)
  equal(r.method, 'GET') equal(r.uri, '/index')
  r.method = 'DELETE'
  r.uri = '/x'
  equal(buffer:sub():asstring(), 'DELETE /x HTTP')
  equal(r.method, 'DELETE') equal(r.rest:asstring(), ' HTTP')
  raises("token value 'BAD METHOD' does not verify /[A-Z]+/", function () r.method = 'BAD METHOD' end)
  equal(r.method, 'DELETE')
end

function tests.errors_leave_the_iterator_at_the_token()
  local g = haka.grammar.new('t', function () root = record { number(8), token('%d+') } export(root) end)
  local iter = from('abc'):pos('begin')
  local _, err = g.root:parse(iter)
  equal(tostring(err), "parse error at byte 1 for field 2 in root: token /%d+/ doesn't match")
  equal(iter.meter, 1)
  equal(iter:sub('all'):asstring(), 'bc')
end

function tests.tokens_match_where_they_stand()
  local _, err = parse('a\nb', function () root = token('b') export(root) end)
  equal(err ~= nil, true)
  local r = parse('a', function () root = record { field('a', token('a')), field('e', token('b*')) } export(root) end)
  equal(r.e, '')
end

function tests.raw_tokens_and_converters()
  local got
  local r, err, buffer = parse('0012ab', function ()
    root = record { field('n', token('[0-9]+'):convert(converter.tonumber('%04d', 10))),
      field('raw', raw_token('[a-z]+'):apply(function (v, res) got = v:asstring() .. res.n end)) }
    export(root)
  end)
  equal(err, nil)
  equal(r.n, 12) equal(r.raw:asstring(), 'ab') equal(got, 'ab12')
  r.n = 7
  equal(buffer:sub():asstring(), '0007ab')
end

function tests.positions_in_errors_do_not_move()
  local g = haka.grammar.new('t', function () root = record { token('x') } export(root) end)
  local buffer = from('abc')
  local iter = buffer:pos('begin')
  local _, err = g.root:parse(iter)
  iter:advance(2)
  equal(tostring(err), "parse error at byte 0 for field 1 in root: token /x/ doesn't match")
  equal(err.field.id, 1) equal(err.field.rule, 'root') equal(err.position:available(), 3)
end

function tests.debug_lines()
  host.debug() host.forget()
  parse('ab\0', function ()
    root = record { field('n', number(8)), try { token('x'), token('y') } }
    export(root)
  end)
  local expected = {
    "debug grammar: in rule 'root' field <unknown>: parsing record\n\tat byte 0: ab\\x00...",
    "debug grammar: in rule 'root' field 'n': parsing number 8 bits (big endian)\n\tat byte 0: ab\\x00...",
    "debug grammar: in rule 'root' field 2: parsing try\n\tat byte 1: b\\x00...",
    "debug grammar: in rule 'root' field 1: parsing token /x/\n\tat byte 1: b\\x00...",
    "debug grammar: catched: parse error at byte 1 for field 1 in root: token /x/ doesn't match",
    "debug grammar:          parse error context: b\\x00...",
    "debug grammar: in rule 'root' field 2: parsing token /y/\n\tat byte 1: b\\x00...",
    "debug grammar: catched: parse error at byte 1 for field 2 in root: token /y/ doesn't match",
    "debug grammar:          parse error context: b\\x00...",
    'debug grammar: parse error at byte 1 for field root in <unknown>: cannot find a successful try case',
    'debug grammar: parse error context: b\\x00...',
  }
  for i, line in ipairs(expected) do equal(host.logs[i], line) end
  equal(#host.logs, #expected)
end

function tests.create_writes_values()
  local g = haka.grammar.new('t', function ()
    option = record { field('kind', number(8)), field('v', number(8)) }
    root = record {
      field('a', number(4)), field('b', number(12)), align(16), field('n', record { field('c', number(16)) }),
      field('list', array(option):count(function (self) return self.b end)),
      field('sum', number(8)):validate(function (self) self.sum = self.b + 1 end),
      field('gone', record { field('z', number(8)) }),
      field('name', token('[a-z]+')), field('body', bytes()),
    }
    export(root)
  end)
  local buffer = haka.vbuffer_allocate(10)
  local r, err = g.root:create(buffer:pos('begin'), {
    a = 5, b = 2, n = { c = 0x1234 }, list = { { kind = 1, v = 2 }, { v = 3 } }, name = 'abc', body = 'xyz',
  })
  equal(err, nil)
  r:validate()
  equal(buffer:sub():asstring(), '\80\2\18\52\1\2\0\3\3\0abcxyz')
  equal(r.body:asstring(), 'xyz') equal(r.name, 'abc')
end

return tests
