-- Streams: parsing that waits, what is held meanwhile, chunks.

local host, lib, test = ...

local equal, raises, same = test.equal, test.raises, test.same
local tests = {}

local function from(bytes) return haka.vbuffer_from(bytes) end

-- Parses in a coroutine over the arrivals; the stream is popped after each,
-- and finished with the last one, or after it. Gives what was popped.
local function feed(arrivals, entry, options)
  options = options or {}
  local stream = haka.vbuffer_stream()
  local manager = stream:getcomanager()
  local out, popped = {}, {}
  manager:start(1, function (iter)
    out.result, out.err = entry:parse(iter, options.user)
    out.rest = options.rest and iter:sub('all')
    out.rest = out.rest and out.rest:asstring()
    out.done = true
  end)
  local function pop()
    while true do
      local piece = stream:pop()
      if not piece then return end
      popped[#popped + 1] = piece:sub():asstring()
    end
  end
  for i, bytes in ipairs(arrivals) do
    local current = stream:push(from(bytes))
    if i == #arrivals and not options.later then stream:finish() end
    manager:process_all(current)
    if options.after then options.after(i, stream, out) end
    if not options.keep then pop() end
  end
  if options.later then
    local current = stream:push(from(''))
    stream:finish()
    manager:process_all(current)
    if not options.keep then pop() end
  end
  out.popped, out.stream = popped, stream
  return out
end

local function split(text)
  local pieces = {}
  for byte in text:gmatch('.') do pieces[#pieces + 1] = byte end
  return pieces
end

local function grammar(definition)
  return haka.grammar.new('test', definition).unique_export
end

-- The calls of a chunked callback, as `text:last`.
local function chunks(entity_of, arrivals, options)
  local calls = {}
  local entry = grammar(function ()
    root = entity_of():chunked(function (_, sub, last)
      calls[#calls + 1] = (sub and sub:asstring() or 'nil') .. ':' .. tostring(last)
    end)
    export(root)
  end)
  local out = feed(arrivals, entry, options)
  equal(out.err, nil)
  return table.concat(calls, ' '), out
end

function tests.chunked_count()
  equal(chunks(function () return bytes():count(7) end, { 'abc', 'def', 'ghi' }), 'abc:false def:false g:true')
  equal(chunks(function () return bytes():count(0) end, { 'abc' }), 'nil:true')
  local all = 'abc:false def:false ghi:true nil:true'
  equal(chunks(function () return bytes() end, { 'abc', 'def', 'ghi' }), all)
  equal(chunks(function () return bytes():count(20) end, { 'abc', 'def', 'ghi' }), all)
  local calls = {}
  local entry = grammar(function ()
    root = bytes():count(4):chunked(function (_, sub, last) calls[#calls + 1] = sub:asstring() .. tostring(last) end)
    export(root)
  end)
  local buffer = from('abcdef')
  local iter = buffer:pos('begin')
  entry:parse(iter)
  equal(table.concat(calls), 'abcdtrue')
  equal(iter:sub('all'):asstring(), 'ef')
end

function tests.chunked_until()
  local entity = function () return bytes():untiltoken('XY') end
  local calls, out = chunks(entity, { 'abc', 'deX', 'Yhi' }, { rest = true })
  equal(calls, 'abc:false de:false nil:true') equal(out.rest, 'XYhi')
  calls, out = chunks(entity, { 'abcXYz' }, { rest = true })
  equal(calls, 'abc:true') equal(out.rest, 'XYz')
  equal(chunks(entity, { 'abc', 'def', 'ghi' }), 'abc:false def:false ghi:true nil:true')
  calls, out = chunks(entity, { 'aX', 'bX', 'Yc' }, { rest = true })
  equal(calls, 'a:false Xb:false nil:true') equal(out.rest, 'XYc')
  equal(chunks(entity, { 'aX' }), 'aX:true nil:true')
  equal(chunks(entity, { 'aX' }, { later = true }), 'a:false X:true nil:true')
end

function tests.what_may_be_the_delimiter_is_held()
  local _, out = chunks(function () return bytes():untiltoken('XY') end, { 'abX', 'Yhi' }, {
    rest = true,
    after = function (i, stream) if i == 1 then equal(stream:pop(), nil) end end,
  })
  equal(out.rest, 'XYhi')
end

local function words()
  local seen = {}
  return seen, grammar(function ()
    word = token('[a-z]+')
    root = record {
      field('a', word), token(' +'), field('n', number(24)), field('b', word), token('%r?%n'),
      field('list', array(field('v', number(8))):count(3)), field('until_', bytes():untiltoken('%.')),
      token('%.'), field('bits', number(3)), field('rest', number(13)),
      execute(function (self, ctx) seen[#seen + 1] = ctx.iter.meter end),
    }
    export(root)
  end)
end

function tests.one_byte_at_a_time_gives_the_same()
  local text = 'hello  \1\2\3world\r\n\7\8\9some text.\240\15'
  local function show(r)
    return table.concat({ r.a, r.n, r.b, #r.list, r.list[1].v, r.list[3].v, r.until_:asstring(),
      r.bits, r.rest }, ',')
  end
  local seen, entry = words()
  local whole, err = entry:parse(from(text):pos())
  equal(err, nil)
  local expected = 'hello,66051,world,3,7,9,some text,7,4111'
  equal(show(whole), expected)
  local shown
  for _, arrivals in ipairs { split(text), { text }, { text:sub(1, 9), text:sub(10) } } do
    local out = feed(arrivals, entry, {
      after = function (i, stream, out)
        if i == #arrivals then shown = show(out.result) else equal(stream:pop(), nil) end
      end,
    })
    equal(out.err, nil)
    equal(shown, expected)
    equal(table.concat(out.popped), text)
  end
  same(seen, { #text, #text, #text, #text })
end

function tests.truncation_is_the_same_error_anywhere()
  local text = 'hello  \1\2\3world\r\n\7\8\9some text.\240\15'
  local _, entry = words()
  for length = 0, #text - 1 do
    local _, whole = entry:parse(from(text:sub(1, length)):pos())
    local out = feed(split(text:sub(1, length)), entry, { later = true })
    equal(tostring(out.err), tostring(whole))
    equal(table.concat(out.popped), text:sub(1, length))
  end
end

function tests.sequence_lets_go_of_what_it_has_read()
  local entry = grammar(function ()
    root = sequence { token('first'), token('second') }
    export(root)
  end)
  local popped = {}
  feed({ 'first', 'second' }, entry, { later = true, keep = true, after = function (_, stream)
    local piece = stream:pop()
    popped[#popped + 1] = piece and piece:sub():asstring() or 'none'
  end })
  same(popped, { 'first', 'second' })
end

function tests.record_holds_what_it_has_read()
  local entry = grammar(function ()
    root = record { field('a', number(40)), token('second') }
    export(root)
  end)
  local popped = {}
  feed({ 'first', 'second', 'x' }, entry, { keep = true, after = function (_, stream, out)
    local piece = stream:pop()
    popped[#popped + 1] = piece and piece:sub():asstring() or 'none'
  end })
  same(popped, { 'none', 'first', 'second' })
end

function tests.holds_end_with_an_error()
  local entry = grammar(function ()
    root = record { number(8), try { record { number(8), token('b') }, token('zz') } }
    export(root)
  end)
  local out = feed({ '1', '2', 'c' }, entry, {})
  equal(tostring(out.err), 'parse error at byte 1 for field root in <unknown>: cannot find a successful try case')
  equal(table.concat(out.popped), '12c')
  local failing = grammar(function ()
    root = record { number(16), execute(function () error('mine', 0) end) }
    export(root)
  end)
  local stream = haka.vbuffer_stream()
  local manager = stream:getcomanager()
  manager:start(1, function (iter) failing:parse(iter) end)
  manager:process_all(stream:push(from('a')))
  equal(stream:pop(), nil)
  raises('mine', manager.process_all, manager, stream:push(from('b')))
  equal(stream:pop():sub():asstring(), 'a')
end

function tests.pass_through_holds_are_readonly()
  host.passthrough = true
  local seen, entry = words()
  local text = 'hello  \1\2\3world\r\n\7\8\9some text.\240\15'
  local shown
  local out = feed(split(text), entry, { after = function (i, stream, out)
    if i < #text then equal(stream:pop():sub():asstring(), text:sub(i, i)) else shown = out.result.b end
  end })
  equal(out.err, nil) equal(shown, 'world')
end

function tests.callbacks_may_wait()
  local got
  local entry = grammar(function ()
    root = record { number(8), execute(function (_, ctx) got = ctx.iter:sub(3):asstring() end), field('b', number(8)) }
    export(root)
  end)
  local out = feed({ 'a', 'b', 'c', 'd', 'e' }, entry, { keep = true })
  equal(got, 'bcd') equal(out.result.b, 101)
end

return tests
