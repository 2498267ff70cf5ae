-- Streams without coroutines. Globals: haka, equal, raises.

local test = {}

local function from(text) return haka.vbuffer_from(text) end

local function popped(stream)
  local buf = stream:pop()
  return buf and buf:sub():asstring()
end

function test.holding_with_a_mark()
  local s = haka.vbuffer_stream()
  local it = s:push(from('abc'))
  it:mark()
  equal(s:pop(), nil)
  it:unmark()
  equal(popped(s), 'abc')
end

function test.pieces_keep_their_boundaries()
  local s = haka.vbuffer_stream()
  local one = s:push(from('one'))
  s:push(from('two'))
  s:push(from(''))
  equal(s.data:sub():asstring(), 'onetwo')
  one:insert(from('<'))
  s.data:sub(4, 3):erase()
  local buf = s:pop()
  equal(buf:sub():asstring(), '<one')
  equal(buf.modified, true)
  buf = s:pop()
  equal(#buf, 0, 'an erased piece')
  equal(buf.modified, true)
  buf = s:pop()
  equal(#buf, 0)
  equal(buf.modified, false)
  equal(s:pop(), nil)
end

function test.push_takes_the_content()
  local s, buf = haka.vbuffer_stream(), from('abc')
  s:push(buf)
  equal(#buf, 0)
  s:push(buf)
  equal(popped(s), 'abc')
  equal(popped(s), '')
  raises('missing data parameter', s.push, s, nil)
  raises('circular buffer insertion', s.push, s, s.data)
end

function test.finish()
  local s = haka.vbuffer_stream()
  local it = s:push(from('ab'))
  it:advance(3)
  equal(it.iseof, false)
  equal(s.isfinished, false)
  s:finish()
  equal(it.iseof, true)
  equal(s.isfinished, true)
  raises('stream marked as finished', s.push, s, from('x'))
end

function test.the_end_of_a_stream_sees_later_pushes()
  local s = haka.vbuffer_stream()
  local it = s.data:pos('end')
  s:push(from('ab'))
  equal(it:available(), 2)
  local later = s.data:pos('end')
  s:push(from('cd'))
  equal(later:sub('all'):asstring(), 'cd')
  s:pop() s:pop()
  s:push(from('ef'))
  equal(it:available(), 2, 'what is left')
end

function test.readonly_marks_let_copies_go()
  local s = haka.vbuffer_stream()
  local it = s:push(from('abcd'))
  it:advance(2)
  local mark = it:copy()
  mark:mark(true)
  local out = s:pop()
  equal(out:sub():asstring(), 'abcd')
  equal(s.data:sub():asstring(), 'cd', 'the original stays readable')
  raises('read only buffer', function () s.data:sub(0, 1):zero() end)
  s:push(from('ef'))
  equal(popped(s), 'ef')
  equal(it:sub('all'):asstring(), 'cdef')
  equal(s:pop(), nil)
  mark:unmark()
  equal(s:pop(), nil)
  equal(#s.data, 0)
end

function test.read_write_marks_stop_what_follows()
  local s = haka.vbuffer_stream()
  local it = s:push(from('ab'))
  s:push(from('cd'))
  it:mark()
  equal(s:pop(), nil)
  it:unmark()
  equal(popped(s), 'ab')
  equal(popped(s), 'cd')
end

function test.selections_hold_their_piece()
  local s = haka.vbuffer_stream()
  s:push(from('abcd'))
  local ref, taken = s.data:sub(1, 2):select()
  equal(s:pop(), nil)
  taken:pos('end'):insert(from('!'))
  ref:restore(taken)
  local out = s:pop()
  equal(out:sub():asstring(), 'abc!d')
  equal(out.modified, true)
end

function test.a_selection_across_pieces_returns_to_them()
  local s = haka.vbuffer_stream()
  s:push(from('abc')) s:push(from('def')) s:push(from('ghi'))
  local ref, taken = s.data:sub(1, 6):select()
  equal(taken:sub():asstring(), 'bcdefg')
  equal(s:pop(), nil)
  ref:restore(taken)
  for _, text in ipairs { 'abc', 'def', 'ghi' } do
    local out = s:pop()
    equal(out:sub():asstring(), text)
    equal(out.modified, false)
  end
end

function test.a_selection_lost_lets_the_stream_go_on()
  local s = haka.vbuffer_stream()
  s:push(from('abc')) s:push(from('def'))
  s.data:sub(1, 4):select()
  collectgarbage() collectgarbage()
  equal(popped(s), 'a')
  equal(popped(s), 'f')
end

function test.positions_follow_popped_bytes()
  local s = haka.vbuffer_stream()
  local it = s:push(from('abc'))
  local out = s:pop()
  equal(it:sub(3):asstring(), 'abc')
  out:sub(0, 1):erase()
  equal(#out, 2)
end

function test.inserting_at_the_end_of_a_stream_joins_the_last_piece()
  local s = haka.vbuffer_stream()
  s:push(from('ab'))
  s.data:pos('end'):insert(from('!'))
  equal(popped(s), 'ab!')
  s:finish()
  s.data:pos('end'):insert(from('bye'))
  equal(popped(s), 'bye', 'nothing inserted is lost')
  equal(s:pop(), nil)
end

-- Sub-streams ----------------------------------------------------------------------

function test.sub_stream_round_trip()
  local buf = from('head body tail')
  local sub = haka.vbuffer_sub_stream()
  equal(sub:push(nil), nil)
  local it = sub:push(buf:sub(5, 4))
  equal(it:available(), 4)
  equal(buf:sub():asstring(), 'head  tail')
  it:sub(2):setstring('BOO')
  local back = sub:pop()
  equal(back:asstring(), 'BOOdy')
  equal(buf:sub():asstring(), 'head BOOdy tail')
  equal(sub:pop(), nil)
end

function test.sub_stream_pops_all_at_once()
  local buf = from('a1b2c3')
  local sub = haka.vbuffer_sub_stream()
  local first, second = buf:sub(1, 1), buf:sub(3, 1)
  sub:push(first)
  local it = sub:push(second)
  it:mark()
  equal(sub:pop():asstring(), '1')
  equal(sub:pop(), nil)
  it:unmark()
  equal(sub:pop():asstring(), '2')
  sub:push(buf:sub(1, 1))
  sub:push(buf:sub(2, 1))
  equal(buf:sub():asstring(), 'a' .. 'b' .. 'c3')
  equal(sub:pop():asstring(), '1b2')
  equal(buf:sub():asstring(), 'a1b2c3')
  equal(buf.modified, false)
  sub:finish()
  local rest = buf:sub(0, 1)
  raises('stream marked as finished', sub.push, sub, rest)
  equal(buf:sub():asstring(), 'a1b2c3')
end

function test.sub_stream_over_a_stream()
  local s = haka.vbuffer_stream()
  s:push(from('abc')) s:push(from('def'))
  local sub = haka.vbuffer_sub_stream()
  sub:push(s.data:sub(1, 4))
  equal(s:pop(), nil)
  sub.data:sub(0, 1):setstring('BBB')
  equal(sub:pop():asstring(), 'BBBcde')
  equal(popped(s), 'aBBBc')
  local out = s:pop()
  equal(out:sub():asstring(), 'def')
  equal(out.modified, false)
end

return test
