-- Parse contexts and parse errors: the state of one parse, as callbacks see it.
--
-- Bytes that a parse may come back to are held: a record's start, a try's.
-- A hold is only noted; the mark that keeps the stream from leaving is put
-- when the parse has to wait, for nothing can leave before. What a parse
-- cannot do on its fast path, because the bytes of a block are not there yet
-- or lie apart, is here too.

local host, lib = ...

local object, iterator = lib.bufobject, lib.iterator
local api, store = host.buf_api, host.store
local out, check = object.out, object.check
local new_iterator, new_sub = object.new_iterator, object.new_sub
local collect = iterator.collect
local advance, mark, unmark, bytes, byte_at = api.advance, api.mark, api.unmark, api.bytes, api.byte
local to_string = host.ffi.string
local type, error, pcall, tostring, select = type, error, pcall, tostring, select
local rawget, rawset, setmetatable, getmetatable = rawget, rawset, setmetatable, getmetatable
local format = string.format
local new_class = lib.class.class
local safe_format = lib.utils.safe_format
local log = lib.log.of('grammar')
local log_enabled = host.log_enabled

local DEBUG = lib.log.levels.debug

local context = {}

-- Whether the lines of section `grammar` are wanted. Asked anew after each
-- change of a level: the host's answer costs more than a parse.
local logs = lib.log
local asked, wanted = -1, false

function context.traced()
  if asked ~= logs.changes then
    asked, wanted = logs.changes, log_enabled(DEBUG, 'grammar')
  end
  return wanted
end

-- Errors ------------------------------------------------------------------------

local ParseError = new_class('ParseError')
context.ParseError = ParseError

-- The next bytes from a position, printable, at most `count`.
local function excerpt(at, count)
  if check(bytes(store, at._a, at._c, 0, count, out)) >= 0 then
    return safe_format(to_string(out.p, out.len))
  end
end

function ParseError.method:context()
  return format('parse error context: %s...', excerpt(rawget(self, 'position'), 100))
end

function ParseError.method:__tostring()
  local field = rawget(self, 'field')
  local id, rule = field and field.id, field and field.rule
  return format('parse error at byte %d for field %s in %s: %s', rawget(self, 'position').meter,
    id == nil and '<unknown>' or tostring(id), rule or '<unknown>', rawget(self, 'description'))
end

-- Logs an error at debug level: a caught one is shifted.
local function report(err, caught)
  if not context.traced() then return end
  local ok, around = pcall(ParseError.method.context, err)
  if not ok then around = 'parse error context: ...' end
  log.debug('%s%s', caught and 'catched: ' or '', tostring(err))
  log.debug('%s%s', caught and '         ' or '', around)
end

-- Contexts ----------------------------------------------------------------------

local Context = new_class('ParseContext')
context.Context = Context

-- `_bit` is the place in the current byte where the grammar does not know it,
-- `_depth` that of recursion, `_outer` the parse of the same iterator that
-- this one runs in.
function context.new(iter, user, result, init)
  local self = setmetatable({
    iter = iter, user = user, _top = result, _current = result, _error = false, _bit = 0,
    _depth = 0, _holds = false, _held = 0, _outer = false, init = init, current_init = init,
  }, Context)
  return self
end

-- Fails the parse. Returns true, as everything does that failed.
local function fail(self, field, description)
  if self._error then error('multiple parse errors raised', 0) end
  local iter = self.iter
  self._error = setmetatable({
    position = new_iterator(iter._v, iter._a, iter._c, iter.meter),
    field = field,
    description = description,
  }, ParseError)
  return true
end
context.fail = fail

function Context.method:error(message, ...)
  if type(message) ~= 'string' then message = tostring(message) end
  if select('#', ...) > 0 then message = format(message, ...) end
  fail(self, rawget(self, '_node'), message)
end

function Context.method:result(index)
  index = index or -1
  local chain, count = {}, 0
  local at = rawget(self, '_current')
  while at ~= nil do
    count = count + 1
    chain[count] = at
    at = rawget(at, '_parent')
  end
  local found
  if index > 0 then found = chain[count - index + 1] else found = chain[-index] end
  if not found then error('invalid result index', 0) end
  return found
end

function Context.method:lookahead()
  local iter = self.iter
  if getmetatable(iter) == 'vbuffer_iterator_blocking' then iter:wait() end
  local value = check(byte_at(store, iter._a, iter._c, 0, 1, 0))
  if value == 256 then return -1 end
  return value
end

function Context.method:update(to)
  self.iter:move_to(to)
end

-- Holds -------------------------------------------------------------------------

-- Notes that the bytes from a position on are needed.
local function hold_at(self, a, c, meter, readonly)
  local holds = self._holds
  if not holds then
    holds = {}
    self._holds = holds
  end
  local held = self._held + 1
  self._held = held
  holds[held] = { a = a, c = c, meter = meter, readonly = readonly and 1 or 0, marked = false }
end
context.hold_at = hold_at

-- The same from the next byte on, waiting for it. A tail would hold the piece
-- before it.
local function hold(self, readonly)
  local iter = self.iter
  if getmetatable(iter) == 'vbuffer_iterator_blocking' then iter:wait() end
  local a, c = iter._a, iter._c
  if check(advance(store, a, c, 1, out)) > 0 then a, c = out.a, out.c end
  hold_at(self, a, c, iter.meter, readonly)
  return a, c
end
context.hold = hold

-- Puts the marks of all holds that have none.
local function materialize(self)
  local outer = self._outer
  if outer then materialize(outer) end
  local holds = self._holds
  for i = 1, self._held do
    local entry = holds[i]
    if not entry.marked then
      check(mark(store, entry.a, entry.c, entry.readonly, out))
      entry.a, entry.c, entry.marked = out.a, out.c, true
    end
  end
end

local function hold_for(iter)
  materialize(rawget(iter, '_parse'))
end

-- Ends all holds but the first `keep`.
local function release_to(self, keep)
  local holds = self._holds
  for i = self._held, keep + 1, -1 do
    local entry = holds[i]
    holds[i] = nil
    if entry.marked then check(unmark(store, entry.a, entry.c, out)) end
  end
  self._held = keep
end
context.release_to = release_to

local function release(self)
  if self._held > 0 then release_to(self, self._held - 1) end
end
context.release = release

function Context.method:mark(readonly)
  hold(self, readonly)
  materialize(self)
end

function Context.method:unmark()
  if self._held == 0 then error('iterator is not a mark', 0) end
  release(self)
end

Context.property.retain_mark = {
  get = function (self)
    local held = rawget(self, '_held')
    if held == 0 then return nil end
    local entry = rawget(self, '_holds')[held]
    return new_iterator(self.iter._v, entry.a, entry.c, entry.meter)
  end,
}

-- Running a parse -----------------------------------------------------------------

-- Runs on an iterator that waits: what waits there puts the marks. Whatever
-- is raised, by callbacks or by the watchdog, nothing stays held.
local function run_blocking(self, iter, run, result)
  self._outer = rawget(iter, '_parse') or false
  rawset(iter, '_parse', self)
  rawset(iter, '_hold', hold_for)
  local ok, failed = pcall(run, self, result)
  rawset(iter, '_parse', self._outer or nil)
  rawset(iter, '_hold', self._outer and hold_for or nil)
  if not ok then
    pcall(release_to, self, 0)
    error(failed, 0)
  end
  return failed
end

-- Runs a compiled grammar: the error, if the parse fails.
function context.run(self, run, result)
  local iter, failed = self.iter, nil
  if getmetatable(iter) == 'vbuffer_iterator_blocking' then
    failed = run_blocking(self, iter, run, result)
  else
    failed = run(self, result)
  end
  if self._held > 0 then release_to(self, 0) end
  if failed or self._error then
    report(self._error, false)
    return self._error
  end
end

-- A try gives up one case: its error is gone, the next one starts where the
-- first did.
function context.caught(self, a, c, meter, held, bit, result)
  report(self._error, true)
  self._error = false
  release_to(self, held)
  local iter = self.iter
  iter._a, iter._c, iter.meter = a, c, meter
  self._bit, self._current = bit, result
end

-- Off the fast path -----------------------------------------------------------------

-- One byte, waiting for it: where it is, or nil at the end.
local function next_byte(iter)
  if getmetatable(iter) == 'vbuffer_iterator_blocking' then
    local count, a, c = collect(iter, 1)
    if count == 0 then return nil end
    return a, c
  end
  if check(advance(store, iter._a, iter._c, 1, out)) == 0 then return nil end
  iter._a, iter._c, iter.meter = out.a2, out.c2, iter.meter + 1
  return out.a, out.c
end

-- Reads a block whose bytes lie apart, or are not there yet. Gives what
-- fields find their bytes by: true, and each byte's position (a list
-- `[2i + 1], [2i + 2]` for byte i). At the end of data: nil, the positions so
-- far, and that the parse failed.
--
-- `block`: `need` and `take`, bytes that it touches and that it moves over;
-- `fields`, each with `first` and `last` byte, in order; `hold`, whether it
-- begins a record that has to be held, `alone` if only meanwhile, `readonly`.
local function scattered(self, block)
  local iter = self.iter
  local held = self._held
  if block.hold then hold(self, block.readonly) end
  local meter, positions = iter.meter, {}
  for i = 0, block.need - 1 do
    local a, c = next_byte(iter)
    if not a then
      local fields, at = block.fields, 1
      while fields[at].last < i do at = at + 1 end
      local first = fields[at].first
      if first < i then
        iter._a, iter._c = positions[2 * first + 1], positions[2 * first + 2]
      end
      iter.meter = meter + first
      fail(self, fields[at], 'not enough data')
      return true, positions, true
    end
    positions[2 * i + 1], positions[2 * i + 2] = a, c
  end
  if block.take < block.need then
    iter._a, iter._c = positions[2 * block.take + 1], positions[2 * block.take + 2]
    iter.meter = meter + block.take
  end
  if block.alone then release_to(self, held) end
  return true, positions, false
end
context.scattered = scattered

-- A number whose place in its byte is not known before: the position of its
-- first byte and the bit in it.
function context.dynamic_bits(self, field, width)
  local iter = self.iter
  local bit = self._bit
  local total = bit + width
  local need, take = (total + 7 - (total + 7) % 8) / 8, (total - total % 8) / 8
  field.last = need - 1
  local a, positions, failed = scattered(self, {
    need = need, take = take, hold = false, fields = { field },
  })
  self._bit = total % 8
  return a, positions, bit, failed
end

-- Skips bits, known only now; those that are not there are no error.
function context.skip_bits(self, bits)
  local iter = self.iter
  if type(bits) ~= 'number' or not (bits >= 0) then
    error(format('bit count must not be negative, got %s', tostring(bits)), 0)
  end
  local total = self._bit + bits
  iter:advance((total - total % 8) / 8)
  self._bit = total % 8
end

-- Skips to a multiple of `bits` from the start of the parse.
function context.align(self, bits)
  local at = self.iter.meter * 8 + self._bit
  context.skip_bits(self, (bits - at % bits) % bits)
end

-- The part from a position to the iterator.
function context.part(self, a, c)
  local iter = self.iter
  check(api.settle(store, a, c, iter._a, iter._c, out))
  return new_sub(iter._v, out.a, out.c, out.e, out.n)
end

-- The first byte from here on, if there is one now.
function context.here(self)
  local iter = self.iter
  if check(advance(store, iter._a, iter._c, 1, out)) > 0 then return out.a, out.c end
  return iter._a, iter._c
end

-- Logs one step of a parse.
function context.trace(self, field, text)
  local iter = self.iter
  local ok, around = pcall(excerpt, iter, 20)
  local id = field.id
  if field.name then id = format("'%s'", field.name) end
  log.debug("in rule '%s' field %s: %s\n\tat byte %d: %s...", field.rule or '<unknown>',
    id == nil and '<unknown>' or tostring(id), text, iter.meter, ok and around or '')
end

return context
