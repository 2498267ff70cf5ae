-- Plain iterators. Globals: haka, equal, raises.

local test = {}

local function from(text) return haka.vbuffer_from(text) end

-- Rules B1 to B4: where an iterator rests.

function test.exact_advance_rests_at_the_tail()
  local buf = from('haka')
  local it = buf:pos('begin')
  equal(it:advance(4), 4)
  equal(it.iseof, false)
  equal(it:advance(1), 0)
  equal(it.iseof, true)
end

function test.appended_bytes_are_seen_from_the_tail_only()
  local buf = from('ab')
  local tail, past = buf:pos(2), buf:pos('end')
  buf:append(from('cd'))
  equal(tail:available(), 2)
  equal(tail:sub(2):asstring(), 'cd')
  equal(past:available(), 0)
  equal(past.iseof, true)
end

function test.available_mode_at_tail_and_end()
  local it = from('ab'):pos(2)
  local sub = it:sub('available')
  equal(#sub, 0)
  equal(it.iseof, true)
  equal(it:sub('available'), nil)
  equal(#it:sub('all'), 0)
end

function test.subs_and_meter()
  local it = from('abcdef'):pos(0)
  equal(it:sub(2):asstring(), 'ab')
  equal(it.meter, 2)
  equal(it:sub(0):asstring(), '')
  equal(it:sub(9):asstring(), 'cdef')
  equal(it.meter, 6)
  equal(it.iseof, true)
  it.meter = 1
  equal(it:copy().meter, 1)
  local other = from('xy'):pos(1)
  it:move_to(other)
  equal(it.meter, 1)
  equal(it:sub(-1):asstring(), 'y')
  raises('invalid source iterator', it.move_to, it, nil)
  raises('unknown sub buffer mode: most', it.sub, it, 'most')
end

function test.checks()
  local it = from('abcd'):pos(1)
  local ok, n = it:check_available(3)
  equal(ok, true) equal(n, 3)
  ok, n = it:check_available(4)
  equal(ok, false) equal(n, 3)
  equal(it:advance(-1), 3)
  equal(it:wait(), true, 'waiting on a plain iterator tells eof')
  equal(from('x'):pos(0):wait(), false)
end

function test.foreach_available_gives_one()
  local seen = {}
  for sub in from('abc'):pos(1):foreach_available() do seen[#seen + 1] = sub:asstring() end
  equal(table.concat(seen, ','), 'bc')
  for _ in from(''):pos(0):foreach_available() do error('nothing is available') end
end

function test.insert_goes_before_and_the_iterator_after()
  local buf = from('abcd')
  local it, same = buf:pos(2), buf:pos(2)
  local sub = it:insert(from('XY'))
  equal(sub:asstring(), 'XY')
  equal(it:sub(1):asstring(), 'c')
  equal(same:sub(1):asstring(), 'c')
  local tail = buf:pos(6)
  tail:insert(from('Z'))
  equal(tail:available(), 0)
  buf:pos('end'):insert(from('!'))
  buf:pos('begin'):insert(from('>'))
  equal(buf:sub():asstring(), '>abXYcdZ!')
  raises('missing data parameter', tail.insert, tail, nil)
  raises("Error in insert (arg 1), expected 'vbuffer' got 'vbuffer_sub'", tail.insert, tail, buf:sub())
end

function test.insert_into_an_empty_buffer()
  local buf = from('')
  buf:pos('begin'):insert(from('x'))
  equal(buf:sub():asstring(), 'x')
end

function test.splits_keep_parts_independent()
  local buf = from('abcdef')
  local first = buf:pos(0):sub(3, true)
  local it = buf:pos(3)
  equal(first:isflat(), true)
  equal(buf:sub():isflat(), false)
  first:erase()
  equal(it:sub('all'):asstring(), 'def')
end

function test.marks()
  local buf = from('abcd')
  local it = buf:pos(2)
  local before = it:copy()
  it:mark()
  equal(it:copy():sub(1):asstring(), 'c')
  equal(before:sub(1):asstring(), 'c')
  it:unmark()
  equal(it:sub(1):asstring(), 'c')
  raises('iterator is not a mark', it.unmark, it)
  raises("Error in mark (arg 1), expected 'bool' got 'nil'", it.mark, it, nil)
  raises("Error in mark (arg 1), expected 'bool' got 'number'", it.mark, it, 1)
  it:mark(true)
  buf:sub(0, 4):erase()
  equal(it:available(), 0)
  it:unmark()
  equal(#buf, 0)
end

function test.a_tail_outlives_the_bytes_before_it()
  local buf = from('abcd')
  local it = buf:pos(0)
  local sub = it:sub(4)
  sub:erase()
  equal(it:available(), 0)
  it:insert(from('new'))
  equal(buf:sub():asstring(), 'new')
end

function test.two_iterators_make_a_sub()
  local buf = from('abcdef')
  equal(haka.vbuffer_sub(buf:pos(1), buf:pos(3)):asstring(), 'bc')
  equal(haka.vbuffer_sub(buf:pos(4), buf:pos('end')):asstring(), 'ef')
  local blocking = haka.vbuffer_iterator_blocking(buf:pos(2))
  equal(haka.vbuffer_sub(buf:pos(0), blocking):asstring(), 'ab')
  local reversed = haka.vbuffer_sub(buf:pos(3), buf:pos(1))
  raises('invalid buffer end', reversed.asstring, reversed)
  local mixed = haka.vbuffer_sub(buf:pos(3), from('x'):pos(1))
  raises('invalid buffer end', mixed.asstring, mixed)
end

return test
