-- Buffers: iterators after erasure, limits of bits and numbers, insertion of
-- a buffer into itself.

TestBuffers = {}

local function from(text) return haka.vbuffer_from(text) end

function TestBuffers:test_invalid_iterator_erase_from_start()
  local buf = from('haka')
  local it = buf:pos(1)
  buf:sub(0, 2):erase()
  assertError('^invalid buffer iterator', it.advance, it, 1)
end

function TestBuffers:test_invalid_iterator_erase()
  local buf = from('hakahaka')
  local it = buf:pos(2)
  buf:sub(1, 3):erase()
  assertError('^invalid buffer iterator', it.advance, it, 1)
end

function TestBuffers:test_asbit_empty()
  local sub = from(''):sub()
  assertError('^asbits: invalid bit offset', sub.asbits, sub, 8, 6)
end

function TestBuffers:test_setbit_empty()
  local sub = from(''):sub()
  assertError('^setbits: invalid bit offset', sub.setbits, sub, 8, 6, 0)
end

function TestBuffers:test_asbit_too_small()
  local sub = from('ab'):sub()
  assertError('^asbits: invalid bit size', sub.asbits, sub, 12, 24)
end

function TestBuffers:test_asnumber_too_big()
  local sub = from('0123456789'):sub()
  assertError('^asnumber: unsupported size 10', sub.asnumber, sub)
end

function TestBuffers:test_setbit_too_big()
  local sub = from('01234567'):sub()
  assertError('^setbits: unsupported size 2000', sub.setbits, sub, 12, 2000, 2000)
end

function TestBuffers:test_setbit_too_small()
  local sub = from('ab'):sub()
  assertError('^setbits: invalid bit size', sub.setbits, sub, 12, 24, 0)
end

function TestBuffers:test_insert_on_itself()
  local buf = from('haka')
  local it = buf:pos(1)
  assertError('^circular buffer insertion', it.insert, it, buf)
end

function TestBuffers:test_append_on_itself()
  local buf = from('haka')
  assertError('^circular buffer insertion', buf.append, buf, buf)
end

TestBlocking = {}

function TestBlocking:setUp()
  self.stream = haka.vbuffer_stream()
  self.manager = haka.vbuffer_stream_comanager:new(self.stream)
end

-- Ten pushes of four bytes; the stream is finished with the last.
local function feed(self, fn)
  self.manager:start(0, fn)
  for i = 1, 10 do
    local current = self.stream:push(from('Haka'))
    if i == 10 then self.stream:finish() end
    self.manager:process_all(current)
  end
end

function TestBlocking:test_advance()
  local total, rounds = 0, 0
  feed(self, function (iter)
    while not iter.iseof do
      total, rounds = total + iter:advance(10), rounds + 1
    end
  end)
  assert(total == 40 and rounds == 5, total .. ' bytes in ' .. rounds)
end

function TestBlocking:test_sub()
  local seen = {}
  feed(self, function (iter)
    local sub = iter:sub(10)
    while sub do
      seen[#seen + 1] = sub:asstring()
      sub = iter:sub(10)
    end
  end)
  assert(table.concat(seen, ' ') == 'HakaHakaHa kaHakaHaka HakaHakaHa kaHakaHaka')
end

function TestBlocking:test_all()
  local text
  feed(self, function (iter) text = iter:sub('all'):asstring() end)
  assert(text == ('Haka'):rep(10))
end

function TestBlocking:test_available()
  local count = 0
  feed(self, function (iter)
    for sub in iter:foreach_available() do
      assert(sub:asstring() == 'Haka')
      count = count + 1
    end
  end)
  assert(count == 10)
end

addTestSuite('TestBuffers', 'TestBlocking')
