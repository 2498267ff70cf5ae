-- Buffers and their parts, as rules use them. Globals: haka, equal, raises.

local test = {}

local function from(text) return haka.vbuffer_from(text) end

-- The rows of the specification's table, by name -------------------------------

function test.invalid_iterator_erase_from_start()
  local buf = from('haka')
  local it = buf:pos(1)
  buf:sub(0, 2):erase()
  raises('invalid buffer iterator', it.advance, it, 1)
end

function test.invalid_iterator_erase()
  local buf = from('hakahaka')
  local it = buf:pos(2)
  buf:sub(1, 3):erase()
  raises('invalid buffer iterator', it.advance, it, 1)
end

function test.asbit_empty()
  local sub = from(''):sub()
  raises('asbits: invalid bit offset', sub.asbits, sub, 8, 6)
end

function test.setbit_empty()
  local sub = from(''):sub()
  raises('setbits: invalid bit offset', sub.setbits, sub, 8, 6, 0)
end

function test.asbit_too_small()
  local sub = from('ab'):sub()
  raises('asbits: invalid bit size', sub.asbits, sub, 12, 24)
end

function test.asnumber_too_big()
  local sub = haka.vbuffer_allocate(10):sub()
  raises('asnumber: unsupported size 10', sub.asnumber, sub)
end

function test.setbit_too_big()
  local sub = haka.vbuffer_allocate(8):sub()
  raises('setbits: unsupported size 2000', sub.setbits, sub, 12, 2000, 2000)
end

function test.setbit_too_small()
  local sub = from('ab'):sub()
  raises('setbits: invalid bit size', sub.setbits, sub, 12, 24, 0)
end

function test.insert_on_itself()
  local buf = from('haka')
  local it = buf:pos(2)
  raises('circular buffer insertion', it.insert, it, buf)
end

function test.append_on_itself()
  local buf = from('haka')
  raises('circular buffer insertion', buf.append, buf, buf)
end

-- Objects ------------------------------------------------------------------------

function test.unknown_and_immutable_fields()
  local buf = from('x')
  raises("unknown field 'foo'", function () return buf.foo end)
  raises("unknown field 'foo'", function () buf.foo = 1 end)
  raises('This variable is immutable', function () buf.modified = true end)
  raises('This variable is immutable', function () buf:pos(0).iseof = true end)
  raises("unknown field 'bar'", function () return buf:sub().bar end)
end

function test.identity()
  local buf = from('x')
  equal(buf:sub() == buf:sub(), false)
  equal(buf == from('x'), false)
  local stream = haka.vbuffer_stream()
  equal(stream.data == stream.data, true)
end

function test.constructors()
  equal(from('a\0b'):sub():asstring(), 'a\0b')
  equal(from(12):sub():asstring(), '12')
  raises("Error in vbuffer_from (arg 1), expected 'string' got 'table'", from, {})
  raises('number must not be negative', haka.vbuffer_allocate, -1)
  equal(haka.vbuffer.allocate(3):sub():asstring(), '\0\0\0')
  equal(haka.vbuffer.from('abc').modified, false)
end

function test.positions()
  local buf = from('haka')
  equal(buf:pos():available(), 4)
  equal(buf:pos('begin'):available(), 4)
  equal(buf:pos('end').iseof, true)
  equal(buf:pos(-1).iseof, true)
  equal(buf:pos(9).iseof, true)
  equal(buf:pos(4).iseof, false)
  equal(buf:pos(3).meter, 3)
  equal(buf:pos('end').meter, 0)
  raises('unknown buffer position: middle', buf.pos, buf, 'middle')
  raises('missing pos parameter', buf.pos, buf, nil)
end

function test.parts()
  local buf = from('0123456789')
  equal(buf:sub(2):asstring(), '23456789')
  equal(buf:sub(2, 3):asstring(), '234')
  equal(buf:sub(2, -1):asstring(), '23456789')
  equal(buf:sub(8, 'all'):asstring(), '89')
  equal(buf:sub(8, 5):asstring(), '89')
  equal(#buf:sub(20, 5), 0)
  raises('unknown sub buffer mode: some', buf.sub, buf, 0, 'some')
  local sub = buf:sub(2, 4)
  equal(sub:sub():asstring(), '2345')
  equal(sub:sub(1):asstring(), '345')
  equal(sub:sub(1, 2):asstring(), '34')
  equal(sub:sub(1, 20):asstring(), '3456789', 'clipped to the buffer only')
  equal(sub:pos('end'):available(), 4)
  equal(sub:pos(1):available(), 7)
  local ok, have = sub:check_size(4)
  equal(ok, true) equal(have, 4)
  ok, have = sub:check_size(5)
  equal(ok, false) equal(have, 4)
end

function test.indexes()
  local buf = from('abc')
  equal(buf[1], 97)
  equal(buf[0], nil)
  equal(buf[4], nil)
  buf[3] = 256 + 65
  equal(buf:sub():asstring(), 'abA')
  local sub = buf:sub(0, 2)
  equal(sub[2], 98)
  equal(sub[3], nil, 'never beyond the part')
  raises('invalid buffer index', function () sub[3] = 1 end)
  sub[1] = 66
  equal(buf:sub():asstring(), 'BbA')
  equal(buf.modified, true)
end

-- Edits ---------------------------------------------------------------------------

function test.content_moves()
  local buf, more = from('ab'), from('cd')
  local it = more:pos(1)
  buf:append(more)
  equal(#more, 0)
  equal(buf:sub():asstring(), 'abcd')
  equal(it:sub('all'):asstring(), 'd', 'positions follow their bytes')
  buf:append(more)
  equal(#buf, 4)
  raises('missing data parameter', buf.append, buf, nil)
  raises("Error in append (arg 1), expected 'vbuffer' got 'string'", buf.append, buf, 'x')
  equal(buf.modified, true)
  equal(more.modified, true)
end

function test.parts_survive_edits_beside_them()
  local buf = from('one two three')
  local one, two, three = buf:sub(0, 3), buf:sub(4, 3), buf:sub(8, 5)
  two:setstring('2')
  equal(two:asstring(), '2')
  equal(three:asstring(), 'three')
  one:erase()
  raises('invalid buffer iterator', one.asstring, one)
  three:replace(from('drei!'))
  equal(three:asstring(), 'drei!')
  equal(buf:sub():asstring(), ' 2 drei!')
end

function test.counted_parts_cover_what_replaced_them()
  local buf = from('hello world')
  local sub = buf:pos(0):sub(5)
  sub:setstring('hi')
  equal(sub:asstring(), 'hi')
  sub:replace(from('good day'))
  equal(sub:asstring(), 'good day')
  sub:setstring('')
  equal(sub:asstring(), '')
  sub:setstring('bye')
  equal(buf:sub():asstring(), 'bye world')
end

function test.between_grows_and_counted_does_not()
  local buf = from('abcd')
  local between, counted = buf:sub(1, 2), buf:pos(1):sub(2)
  buf:pos(2):insert(from('XY'))
  equal(between:asstring(), 'bXYc')
  equal(counted:asstring(), 'bX')
end

function test.erasing_counts_as_modification()
  for _, range in ipairs { { 0, 4 }, { 0, 2 }, { 2, 2 }, { 1, 2 } } do
    local buf = from('abcd')
    buf:sub(range[1], range[2]):erase()
    equal(buf.modified, true)
    equal(#buf, 4 - range[2])
  end
end

function test.reading_never_modifies()
  local buf = from('abcd')
  buf:sub(1, 2):asstring() buf:sub(0, 4):asnumber()
  local it = buf:pos(2)
  it:split() it:mark() it:unmark()
  local ref, taken = buf:sub(1, 2):select()
  ref:restore(taken)
  equal(buf.modified, false)
  equal(buf:sub():asstring(), 'abcd')
end

function test.fixed_strings_and_zero()
  local buf = from('abcdef')
  buf:sub(1, 3):setfixedstring('XYZW')
  equal(buf:sub():asstring(), 'aXYZef')
  buf:sub(1, 3):setfixedstring('1')
  equal(buf:sub():asstring(), 'a1YZef')
  buf:sub(4):zero()
  equal(buf:sub():asstring(), 'a1YZ\0\0')
end

function test.select_and_restore()
  local buf = from('abcdef')
  local ref, taken = buf:sub(1, 4):select()
  equal(buf:sub():asstring(), 'af')
  local inner, middle = taken:sub(1, 2):select()
  equal(taken:sub():asstring(), 'be')
  equal(middle:sub():asstring(), 'cd')
  raises('missing data parameter', ref.restore, ref, nil)
  raises('invalid restore iterator', function () buf:pos(0):restore(taken) end)
  inner:restore(middle)
  ref:restore(taken)
  raises('empty iterator', ref.restore, ref, taken)
  raises('invalid buffer iterator', ref.advance, ref, 1)
  equal(buf:sub():asstring(), 'abcdef')
  equal(buf.modified, false)
end

function test.restore_of_a_clone_leaves_a_readable_original()
  local buf = from('abcdef')
  local ref, taken = buf:sub(2, 2):select()
  ref:restore(taken, true)
  equal(buf:sub():asstring(), 'abcdef')
  equal(taken:sub():asstring(), 'cd')
  raises('read only buffer', function () taken[1] = 1 end)
  buf[3] = 67
  equal(buf:sub():asstring(), 'abCdef')
end

function test.restore_of_other_bytes_is_a_modification()
  local buf = from('abcdef')
  local ref = buf:sub(2, 2):select()
  ref:restore(from('XYZ'))
  equal(buf:sub():asstring(), 'abXYZef')
  equal(buf.modified, true)
end

function test.circular_restore()
  local buf = from('abcdef')
  local ref, taken = buf:sub(2, 2):select()
  raises('circular buffer insertion', ref.restore, ref, buf)
  taken:append(buf)
  raises('circular buffer insertion', ref.restore, ref, taken)
end

function test.selection_collected_before_it_came_back()
  local buf = from('abcdef')
  buf:sub(2, 2):select()
  collectgarbage() collectgarbage()
  equal(buf:sub():asstring(), 'abef')
  equal(buf.modified, true)
end

function test.clones()
  local buf = from('abc')
  local it = buf:pos(1)
  local shared, copy = buf:clone(), buf:clone('copy')
  buf[1] = 65
  equal(shared:sub():asstring(), 'Abc')
  equal(copy:sub():asstring(), 'abc')
  equal(copy.modified, false)
  equal(it:sub(1):asstring(), 'b', 'a copy leaves the original as it was')
  local readonly = buf:clone('ro clone')
  raises('read only buffer', function () readonly[1] = 1 end)
  raises('read only buffer', function () readonly:append(from('x')) end)
  local writer = buf:clone('ro orig')
  raises('read only buffer', function () buf:sub(0, 1):erase() end)
  raises('read only buffer', function () buf:pos(0):insert(from('x')) end)
  writer[1] = 66
  equal(buf:sub():asstring(), 'Bbc')
  raises('invalid clone mode', buf.clone, buf, 'deep')
end

function test.flat_parts()
  local buf = from('ab')
  buf:append(from('cd'))
  local all = buf:sub()
  equal(buf:sub(0, 2):isflat(), true)
  equal(all:isflat(), false)
  all:flatten()
  equal(all:isflat(), true)
  equal(all:asstring(), 'abcd')
  local it = buf:pos(2)
  it:mark()
  all = buf:sub()
  raises('buffer cannot be flatten', all.flatten, all)
end

-- Numbers -------------------------------------------------------------------------

local function bytes(...) return from(string.char(...)) end

function test.numbers_are_exact_and_unsigned()
  local sub = bytes(0xff, 0xff, 0xff, 0xfe):sub()
  equal(sub:asnumber(), 0xfffffffe)
  equal(sub:asnumber('little'), 0xfeffffff)
  sub:setnumber(0x80000001)
  equal(sub:asnumber('big'), 0x80000001)
  sub:setnumber(-1)
  equal(sub:asnumber(), 0xffffffff)
  sub:setnumber(1.9)
  equal(sub:asnumber(), 1)
  raises('setnumber: invalid number, value does not fit in 4 bytes', sub.setnumber, sub, 2 ^ 32)
  raises('setnumber: invalid number, value does not fit in 4 bytes', sub.setnumber, sub, -2 ^ 32)
  raises('setnumber: invalid number, value does not fit in 4 bytes', sub.setnumber, sub, 0 / 0)
  local wide = haka.vbuffer_allocate(8):sub()
  wide:setnumber(2 ^ 53 - 1)
  equal(wide:asnumber(), 2 ^ 53 - 1)
  wide:setnumber(2 ^ 63, 'little')
  equal(wide:asnumber('little'), 2 ^ 63)
  equal(wide[8], 0x80)
  local three = haka.vbuffer_allocate(3):sub()
  raises('setnumber: unsupported size 3', three.setnumber, three, 1)
end

function test.bits_examples()
  local sub = bytes(0xf0, 0x0f):sub()
  equal(sub:asbits(0, 4), 15)
  equal(sub:asbits(4, 8), 0)
  equal(sub:asbits(0, 4, 'little'), 0)
  equal(sub:asbits(4, 8, 'little'), 255)
  equal(sub:asbits(12, 4), 15)
  sub = bytes(0x34, 0x12):sub()
  equal(sub:asbits(0, 16, 'little'), 0x1234)
  equal(sub:asbits(0, 16), 0x3412)
  equal(sub:asbits(0, 12, 'little'), 0x234)
  equal(sub:asbits(4, 12, 'little'), 0x123)
  sub = bytes(0, 0):sub()
  sub:setbits(4, 8, 0xab)
  equal(sub:asstring(), '\x0a\xb0')
  sub:zero()
  sub:setbits(4, 8, 0xab, 'little')
  equal(sub:asstring(), '\xb0\x0a')
  raises('setbits: invalid number, value does not fit in 4 bits', sub.setbits, sub, 0, 4, 16)
  local wide = haka.vbuffer_allocate(12):sub()
  raises('asbits: unsupported size', wide.asbits, wide, 4, 64)
  equal(wide:asbits(24, 64), 0)
end

-- Searching, our own ---------------------------------------------------------------

function test.native_searches()
  local buf = from('abra')
  buf:append(from('cad'))
  buf:append(from('abra'))
  equal(buf:find('cad'), 4)
  equal(buf:find('rac'), 2, 'across pieces')
  equal(buf:find('abra', 1), 7)
  equal(buf:find('zebra'), nil)
  equal(buf:find(from('dab')), 6)
  equal(buf:sub(3, 5):find('ab'), nil)
  equal(buf:sub(3, 6):find('dab'), 3)
  equal(buf:count('a'), 5)
  equal(buf:sub(1, 3):count(97), 1)
  equal(bytes(1, 2, 3):sum(), 6)
  equal(buf:find(''), 0)
  equal(buf:find('a', 99), nil)
end

return test
