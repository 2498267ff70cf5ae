-- Iterators: places in buffers, plain and blocking.
--
-- A blocking iterator that runs out of bytes yields the coroutine it runs in
-- and is put on the new bytes by whoever resumes it (`stream.lua`). Nothing
-- native lies between the two, so a rule may wait anywhere.

local host, lib = ...

local object = lib.bufobject
local api, store = host.buf_api, host.store
local out, check, int, flag = object.out, object.check, object.int, object.flag
local new_sub, new_iterator, new_blocking = object.new_sub, object.new_iterator, object.new_blocking
local is_iterator, buffer_id = object.is_iterator, object.buffer
local advance, available, at_end = api.advance, api.available, api.at_end
local type, tonumber, error, select, rawget = type, tonumber, error, select, rawget
local yield, running, huge = coroutine.yield, coroutine.running, math.huge

local iterator = {}

-- Answers of `at_end`.
local INSIDE, FOR_GOOD = 0, 2

local function mode_error(mode)
  error('unknown sub buffer mode: ' .. mode, 0)
end

-- Skips up to `n` bytes: how many, and where they start.
local function step(self, n)
  local count = check(advance(store, self._a, self._c, n, out))
  self._a, self._c = out.a2, out.c2
  self.meter = self.meter + count
  return count, out.a, out.c
end

local function cut(self, split)
  if split then check(api.split(store, self._a, self._c)) end
end

-- What both kinds have -------------------------------------------------------

local common = {}

function common.available(self)
  return check(available(store, self._a, self._c, -1))
end

function common.move_to(self, other)
  if not is_iterator(other) then error('invalid source iterator', 0) end
  self._v, self._a, self._c, self.meter = other._v, other._a, other._c, other.meter
end

function common.insert(self, data)
  if data == nil then error('missing data parameter', 0) end
  check(api.insert(store, self._a, self._c, buffer_id(data, 'insert', 1), out))
  self._a, self._c = out.a2, out.c2
  return new_sub(self._v, out.a, out.c, out.e, out.n)
end

function common.split(self)
  check(api.split(store, self._a, self._c))
end

function common.mark(self, ...)
  local readonly = select('#', ...) > 0 and flag((...), 'mark', 1) or 0
  check(api.mark(store, self._a, self._c, readonly, out))
  self._a, self._c = out.a, out.c
end

function common.unmark(self)
  check(api.unmark(store, self._a, self._c, out))
  self._a, self._c = out.a, out.c
end

function common.copy(self)
  return new_iterator(self._v, self._a, self._c, self.meter)
end

local function iseof(self)
  return check(at_end(store, self._a, self._c)) == FOR_GOOD
end

local Plain, Blocking = object.vbuffer_iterator, object.vbuffer_iterator_blocking
local plain, blocking = Plain.methods, Blocking.methods
for name, method in pairs(common) do
  plain[name], blocking[name] = method, method
end
Plain.getters.iseof, Blocking.getters.iseof = iseof, iseof

-- Plain iterators ------------------------------------------------------------

local function check_now(self, n)
  n = int(n, 'check_available', 1)
  local have = check(available(store, self._a, self._c, n))
  if have >= n then return true, n end
  return false, have
end

plain.check_available = check_now
plain.wait = iseof

function plain.advance(self, n)
  return (step(self, int(n, 'advance', 1)))
end

function plain.sub(self, n, split)
  if n == 'available' then
    if check(at_end(store, self._a, self._c)) ~= INSIDE then return nil end
    n = -1
  elseif n == 'all' then
    n = -1
  elseif type(n) == 'string' and not tonumber(n) then
    mode_error(n)
  end
  local count, a, c = step(self, int(n, 'sub', 1))
  cut(self, split)
  return new_sub(self._v, a, c, 0, count)
end

function plain.foreach_available(self)
  return function ()
    local sub = self:sub('available')
    if sub and #sub > 0 then return sub end
  end
end

function plain.restore(self, data, clone)
  if data == nil then error('missing data parameter', 0) end
  if self._a == 0 then error('empty iterator', 0) end
  local id = buffer_id(data, 'restore', 1)
  check(api.restore(store, self._a, self._c, id, clone ~= nil and flag(clone, 'restore', 2) or 0))
  self._a = 0
end

-- Blocking iterators ---------------------------------------------------------

-- The coroutine of a stream that runs now, and the one that may not wait
-- because a state machine moves in it.
iterator.reading = { reader = false, held = false }
local reading = iterator.reading

-- Waits for the next bytes. The meter goes on.
local function block(self)
  local co, main = running()
  if not co or main or co == reading.held then error('attempt to yield across C-call boundary', 0) end
  -- A grammar that parses here holds what it may still read.
  local hold = rawget(self, '_hold')
  if hold then hold(self) end
  local current = yield()
  if current then
    self._v, self._a, self._c = current._v, current._a, current._c
  end
end

iterator.block = block

-- Whether there is nothing here and nothing will come.
local function exhausted(self)
  if check(advance(store, self._a, self._c, 1, out)) > 0 then return false end
  return check(at_end(store, out.a2, out.c2)) == FOR_GOOD
end
iterator.exhausted = exhausted

-- Skips `n` bytes, waiting for them: how many came before the end of the
-- stream, and where the first one is.
local function collect(self, n)
  local got, a, c = 0
  while true do
    local count, from_a, from_c = step(self, n - got)
    if count > 0 and not a then a, c = from_a, from_c end
    got = got + count
    if got >= n or check(at_end(store, self._a, self._c)) == FOR_GOOD then return got, a, c end
    block(self)
  end
end

iterator.step, iterator.collect = step, collect

function blocking.wait(self)
  while check(available(store, self._a, self._c, 1)) == 0 do
    if exhausted(self) then return false end
    block(self)
  end
  return true
end

function blocking.sub(self, n, split)
  local count, a, c
  if n == 'available' then
    if not self:wait() then return nil end
    count, a, c = step(self, -1)
  elseif n == 'all' then
    count, a, c = collect(self, huge)
  else
    if type(n) == 'string' and not tonumber(n) then mode_error(n) end
    n = int(n, 'sub', 1)
    if n == 0 then return new_sub(self._v, self._a, self._c, 0, 0) end
    count, a, c = collect(self, n < 0 and huge or n)
  end
  if count == 0 then return nil end
  cut(self, split)
  return new_sub(self._v, a, c, 0, count)
end

function blocking.advance(self, n)
  if n == 'available' then return (step(self, -1)) end
  if n == 'all' then
    collect(self, huge)
    return 0
  end
  n = int(n, 'advance', 1)
  if n == 0 then return 0 end
  return (collect(self, n < 0 and huge or n))
end

function blocking.check_available(self, n, nonblocking)
  if nonblocking then return check_now(self, n) end
  n = int(n, 'check_available', 1)
  if n <= 0 then return true, n end
  local a, c, meter = self._a, self._c, self.meter
  local got, first_a, first_c = collect(self, n)
  -- Back to the start: the first byte found, for the place the iterator
  -- waited at may have left the stream since.
  self.meter = meter
  if first_a then
    self._a, self._c = first_a, first_c
  elseif not iseof(self) then
    self._a, self._c = a, c
  end
  return got >= n, got >= n and n or got
end

function blocking.foreach_available(self)
  return function () return self:sub('available') end
end

function iterator.vbuffer_iterator_blocking(from)
  if not is_iterator(from) then error('invalid source iterator', 0) end
  return new_blocking(from._v, from._a, from._c, from.meter)
end

return iterator
