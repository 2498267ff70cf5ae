-- Grammars: Haka's own units, by group and name.

local class = require('class')

local function feed(entry, ...)
  local stream, results = haka.vbuffer_stream(), {}
  local manager = stream:getcomanager()
  manager:start(1, function (iter) results.result, results.err = entry:parse(iter) end)
  local arrivals = { ... }
  for i, text in ipairs(arrivals) do
    local current = stream:push(haka.vbuffer_from(text))
    if i == #arrivals then stream:finish() end
    manager:process_all(current)
  end
  return results.result, results.err, stream
end

local function parse(entry, text, user)
  return entry:parse(haka.vbuffer_from(text):pos('begin'), user)
end

TestGrammarApply = {}

function TestGrammarApply:test_on_record()
  local got
  local g = haka.grammar.new('test', function ()
    elem = record { field('num', number(8)) }:apply(function (value, res) value.tag = 'a' got = value == res end)
    export(elem)
  end)
  local r = parse(g.elem, '\5')
  assert(got and r.tag == 'a' and r.num == 5)
end

function TestGrammarApply:test_on_named_record()
  local g = haka.grammar.new('test', function ()
    elem = record { field('sub', record { field('num', number(8)) }:apply(function (value) value.tag = value.num end)) }
    export(elem)
  end)
  assert(parse(g.elem, '\5').sub.tag == 5)
end

function TestGrammarApply:test_on_token()
  local g = haka.grammar.new('test', function ()
    elem = record { field('t', token('[a-z]+')):apply(function (value, res) res.copy = value end) }
    export(elem)
  end)
  assert(parse(g.elem, 'foo 1').copy == 'foo')
end

function TestGrammarApply:test_on_proxy()
  local done
  local g = haka.grammar.new('test', function ()
    elem = record { field('num', number(8)) }
    root = record { elem:apply(function () done = true end) }
    export(root)
  end)
  parse(g.root, '\5')
  assert(done)
end

function TestGrammarApply:test_const()
  local g = haka.grammar.new('test', function ()
    elem = record { field('a', number(8)):const(1), number(8):const(function (res) return res.a + 1 end), token('foo'):const('foo') }
    export(elem)
  end)
  assert(not select(2, parse(g.elem, '\1\2foo')))
end

function TestGrammarApply:test_const_convert()
  local g = haka.grammar.new('test', function ()
    elem = record { field('a', number(8)):convert(converter.mult(4)):const(8) }
    export(elem)
  end)
  assert(not select(2, parse(g.elem, '\2')))
end

function TestGrammarApply:test_const_failure()
  local g = haka.grammar.new('test', function () elem = record { number(8):const(1) } export(elem) end)
  assert(select(2, parse(g.elem, '\2')))
end

TestGrammarBytes = {}

local function until_grammar()
  local chunks = {}
  local plain = haka.grammar.new('test', function ()
    elem = record { field('foo', bytes():untiltoken('bar')), field('rest', bytes()) }
    export(elem)
  end)
  local chunked = haka.grammar.new('test', function ()
    elem = record {
      bytes():untiltoken('bar'):chunked(function (_, sub) if sub then chunks[#chunks + 1] = sub:asstring() end end),
      field('rest', bytes()),
    }
    export(elem)
  end)
  return plain.elem, chunked.elem, chunks
end

function TestGrammarBytes:test_until()
  local r = parse(until_grammar(), 'foobar')
  assert(r.foo:asstring() == 'foo' and r.rest:asstring() == 'bar')
end

function TestGrammarBytes:test_until_streamed()
  local r = feed(until_grammar(), 'foob', 'ar')
  assert(r.foo:asstring() == 'foo' and r.rest:asstring() == 'bar')
end

local function chunked(expected, rest, ...)
  local _, entry, chunks = until_grammar()
  local r = feed(entry, ...)
  assert(table.concat(chunks) == expected, table.concat(chunks))
  assert(r.rest:asstring() == rest)
end

function TestGrammarBytes:test_until_chunked()
  chunked('averylongfoo', 'bar', 'av', 'ery', 'longf', 'oob', 'ar')
end

function TestGrammarBytes:test_until_partial_twice()
  chunked('is it a full ba? no just a ', 'bar', 'is it a full ba', '? no just a bar')
end

function TestGrammarBytes:test_partial_but_no_match()
  chunked('is it a full ba? no just a foo', '', 'is it a full ba', '? no just a foo')
end

TestGrammarEmpty = {}

function TestGrammarEmpty:test_empty_branch()
  local g = haka.grammar.new('test', function ()
    root = record { field('head', number(8)), branch({ [1] = empty(), default = fail('no') }, function (self) return self.head end) }
    export(root)
  end)
  assert(not select(2, parse(g.root, '\1')))
end

TestGrammarInheritance = {}

function TestGrammarInheritance:test_compile()
  local base = haka.grammar.new('base', function () finger = number(8) export(finger) end)
  local g = haka.grammar.new('test', function () extend(base) finger = token('[a-z]') end)
  assert(class.classof(g.finger).name == 'DGToken')
  assert(class.classof(base.finger).name == 'DGNumber')
end

local function base_hand()
  return haka.grammar.new('hand', function ()
    finger = token('thumb')
    hand = sequence { finger, finger }
    export(hand)
  end)
end

function TestGrammarInheritance:test_override()
  local g = haka.grammar.new('test', function () extend(base_hand()) finger = bytes(28) end)
  assert(class.classof(g.hand._next._next).name == 'DGBytes')
end

function TestGrammarInheritance:test_proxy()
  local g = haka.grammar.new('test', function ()
    define('finger')
    hand = record { field('finger', finger), number(8) }
    finger = token('thumb')
    export(hand)
  end)
  assert(g.hand._next._next._next.name == 'finger')
end

function TestGrammarInheritance:test_proxy_error()
  assertError('undefined entity: finger', haka.grammar.new, 'test', function ()
    define('finger')
    hand = record { finger }
    export(hand)
  end)
end

function TestGrammarInheritance:test_multiple()
  local middle = haka.grammar.new('middle', function () extend(base_hand()) finger = number(8) end)
  local g = haka.grammar.new('test', function () extend(middle) finger = bytes() end)
  assert(class.classof(g.hand._next._next).name == 'DGBytes')
end

function TestGrammarInheritance:test_recursion()
  local g = haka.grammar.new('test', function ()
    define('root')
    root = record { field('count', number(8)), field('child', array(root):count(function (self) return self.count end)) }
    export(root)
  end)
  local r = parse(g.root, '\2\1\0\0')
  assert(r.count == 2 and r.child[1].count == 1 and r.child[1].child[1].count == 0 and r.child[2].count == 0)
end

function TestGrammarInheritance:test_export_unknown()
  assertError('can only export named rules', haka.grammar.new, 'test', function () export(unknown) end)
end

TestGrammarSequence = {}

local function held(compound)
  local g = haka.grammar.new('test', function ()
    root = (compound == 'record' and record or sequence) { token('first'), token('second') }
    export(root)
  end)
  local stream, popped = haka.vbuffer_stream(), {}
  local manager = stream:getcomanager()
  manager:start(1, function (iter) assert(not select(2, g.root:parse(iter))) end)
  for _, text in ipairs { 'first', 'second' } do
    manager:process_all(stream:push(haka.vbuffer_from(text)))
    local piece = stream:pop()
    popped[#popped + 1] = piece and piece:sub():asstring() or 'nothing'
  end
  return table.concat(popped, ' ')
end

function TestGrammarSequence:test_data_release() assert(held('sequence') == 'first second') end
function TestGrammarSequence:test_data_retain() assert(held('record') == 'nothing first') end

TestGrammarToken = {}

function TestGrammarToken:test_token()
  local g = haka.grammar.new('test', function () root = record { field('t', token('[a-z]*')) } export(root) end)
  assert(parse(g.root, 'letters123').t == 'letters')
end

function TestGrammarToken:test_raw_token()
  local g = haka.grammar.new('test', function () root = record { field('t', raw_token('[a-z]*')) } export(root) end)
  assert(parse(g.root, 'letters123').t:asstring() == 'letters')
end

TestGrammarTry = {}

function TestGrammarTry:test_compile()
  assert(haka.grammar.new('test', function () root = try { number(8) } export(root) end).root)
end

function TestGrammarTry:test_catch_error()
  local g = haka.grammar.new('test', function ()
    root = try { field('foo', token('foo')), field('bar', token('bar')) }
    export(root)
  end)
  assert(parse(g.root, 'bar').bar == 'bar')
end

function TestGrammarTry:test_dual()
  local g = haka.grammar.new('test', function ()
    root = try { try { token('foo'), token('fob') }, field('bar', token('bar')) }
    export(root)
  end)
  assert(parse(g.root, 'bar').bar == 'bar')
end

function TestGrammarTry:test_no_leftover_on_failure()
  local g = haka.grammar.new('test', function ()
    root = try { record { field('left', token('b')), token('x') }, record { field('b', token('b')), field('ar', token('ar')) } }
    export(root)
  end)
  local r = parse(g.root, 'bar')
  assert(r.left == nil and r.b == 'b' and r.ar == 'ar')
end

TestGrammarUnion = {}

function TestGrammarUnion:test_union()
  local g = haka.grammar.new('test', function ()
    root = record { field('a', number(7)), union { field('b', number(8)), field('c', number(3)) }, field('d', number(9)) }
    export(root)
  end)
  local r = parse(g.root, '\66\193\170')
  assert(r.a == 0x21 and r.b == 96 and r.c == 3 and r.d == 0x1aa)
end

addTestSuite('TestGrammarApply', 'TestGrammarBytes', 'TestGrammarEmpty', 'TestGrammarInheritance',
  'TestGrammarSequence', 'TestGrammarToken', 'TestGrammarTry', 'TestGrammarUnion')
