-- Buffers and the parts of buffers that rules work on: `vbuffer`, `vbuffer_sub`.
--
-- Offsets count from zero, indexes in brackets from one, as Haka has it. A
-- part remembers bytes, not offsets: it follows them through edits elsewhere
-- and raises `invalid buffer iterator` once they are erased.

local host, lib = ...

local object = lib.bufobject
local ffi, api, store = host.ffi, host.buf_api, host.store
local out, check, allocate, codes = object.out, object.check, object.allocate, object.codes
local int, text, flag, buffer_id = object.int, object.text, object.flag, object.buffer
local new_sub, new_iterator, new_owned = object.new_sub, object.new_iterator, object.new_owned
local is_iterator = object.is_iterator
local type, tonumber, error, select = type, tonumber, error, select
local getmetatable, rawset = getmetatable, rawset
local format, byte, floor, to_string = string.format, string.byte, math.floor, ffi.string

local vbuffer = {}

-- Codes of the span that covers a whole buffer, whatever happens to it: its
-- first byte, and an end that is never left behind.
local FIRST, LAST = 4, 2 ^ 51 + 3
local NOT_FOUND = 2 ^ 53

local function place(where, what)
  if where == 'begin' then return 0 end
  if where == 'end' then return -1 end
  if where == nil then error('missing pos parameter', 0) end
  if type(where) == 'string' and not tonumber(where) then
    error('unknown buffer position: ' .. where, 0)
  end
  return int(where, what, 1)
end

local function size(n)
  if n == nil or n == 'all' then return -1 end
  if type(n) == 'string' and not tonumber(n) then
    error('unknown sub buffer mode: ' .. n, 0)
  end
  return int(n, 'sub', 2)
end

-- Bytes to look for, given as text, a buffer or a part of one.
local function needle(value)
  if type(value) == 'table' then
    local name = getmetatable(value)
    if name == 'vbuffer' then return value:sub():asstring() end
    if name == 'vbuffer_sub' then return value:asstring() end
  end
  return text(value, 'find', 1)
end

local function single(value)
  if type(value) == 'string' and #value == 1 then return byte(value) end
  return int(value, 'count', 1) % 256
end

local function found(at)
  if at == NOT_FOUND then return nil end
  return check(at)
end

-- Whole buffers --------------------------------------------------------------

local Buffer = object.vbuffer
local buffer = Buffer.methods
local length, position, sub_of = api.length, api.position, api.sub
local find, count_byte, sum = api.find, api.count_byte, api.sum
local get_byte, put_byte = api.byte, api.set_byte

function Buffer.meta.__len(self)
  local bytes = check(length(store, self._b))
  return bytes
end

function Buffer.meta.__eq(left, right)
  return left._b == right._b
end

function Buffer.byte(self, index)
  if index < 1 then return nil end
  local value = check(get_byte(store, self._b, FIRST, self._b, LAST, index - 1))
  if value < 256 then return value end
end

function Buffer.set_byte(self, index, value)
  if index < 1 then error('invalid buffer index', 0) end
  value = floor(int(value, '__setitem', 2)) % 256
  check(put_byte(store, self._b, FIRST, self._b, LAST, index - 1, value))
end

function Buffer.getters.modified(self)
  return check(api.modified(store, self._b)) == 1
end

function buffer.pos(self, ...)
  local n = select('#', ...) == 0 and 0 or place((...), 'pos')
  check(position(store, self._b, n, out))
  return new_iterator(self, out.a, out.c, n < 0 and 0 or n)
end

function buffer.sub(self, offset, n)
  check(sub_of(store, self._b, offset and int(offset, 'sub', 1) or 0, size(n), out))
  return new_sub(self, out.a, out.c, out.e, out.n)
end

function buffer.append(self, other)
  if other == nil then error('missing data parameter', 0) end
  check(api.append(store, self._b, buffer_id(other, 'append', 1)))
end

local CLONE = { ['rw'] = 0, ['copy'] = 1, ['ro orig'] = 2, ['ro clone'] = 3 }

function buffer.clone(self, mode)
  local number = CLONE[mode == nil and 'rw' or mode]
  if not number then error('invalid clone mode', 0) end
  return new_owned(allocate(api.clone_of, self._b, number))
end

-- Offset of the first occurrence at or after `init`, or nil.
function buffer.find(self, what, init)
  what = needle(what)
  return found(find(store, self._b, FIRST, self._b, LAST, what, #what, init or 0))
end

function buffer.count(self, value)
  return check(count_byte(store, self._b, FIRST, self._b, LAST, single(value)))
end

function buffer.sum(self)
  return check(sum(store, self._b, FIRST, self._b, LAST))
end

-- Parts ----------------------------------------------------------------------

local Sub = object.vbuffer_sub
local sub = Sub.methods
local span_length, span_position, span_sub = api.span_length, api.span_position, api.span_sub
local bytes, number, set_number = api.bytes, api.number, api.set_number
local bits, set_bits = api.bits, api.set_bits

local function cover(self)
  self._a, self._c, self._e, self._n = out.a, out.c, out.e, out.n
end

local function little(endian)
  if endian == nil or endian == 'big' then return 0 end
  return 1
end

function Sub.meta.__len(self)
  local bytes = check(span_length(store, self._a, self._c, self._e, self._n))
  return bytes
end

sub.size = Sub.meta.__len

function Sub.byte(self, index)
  if index < 1 then return nil end
  local value = check(get_byte(store, self._a, self._c, self._e, self._n, index - 1))
  if value < 256 then return value end
end

function Sub.set_byte(self, index, value)
  if index < 1 then error('invalid buffer index', 0) end
  value = floor(int(value, '__setitem', 2)) % 256
  check(put_byte(store, self._a, self._c, self._e, self._n, index - 1, value))
end

function sub.pos(self, ...)
  local n = select('#', ...) == 0 and 0 or place((...), 'pos')
  check(span_position(store, self._a, self._c, self._e, self._n, n, out))
  return new_iterator(self._v, out.a, out.c, n < 0 and 0 or n)
end

function sub.sub(self, offset, n)
  offset = offset and int(offset, 'sub', 1) or 0
  check(span_sub(store, self._a, self._c, self._e, self._n, offset, size(n), out))
  return new_sub(self._v, out.a, out.c, out.e, out.n)
end

function sub.check_size(self, n)
  n = int(n, 'check_size', 1)
  local have = #self
  if have >= n then return true, n end
  return false, have
end

function sub.asstring(self)
  check(bytes(store, self._a, self._c, self._e, self._n, out))
  return to_string(out.p, out.len)
end

function sub.setstring(self, value)
  value = text(value, 'setstring', 1)
  allocate(api.set_string, self._a, self._c, self._e, self._n, value, #value, out)
  cover(self)
end

function sub.setfixedstring(self, value)
  value = text(value, 'setfixedstring', 1)
  check(api.set_fixed(store, self._a, self._c, self._e, self._n, value, #value))
end

local BAD_SIZE, BAD_NUMBER = codes['unsupported size'], codes['invalid number, value does not fit']
local BAD_BITS = {
  [codes['invalid bit offset']] = 'invalid bit offset',
  [codes['invalid bit size']] = 'invalid bit size',
  [BAD_SIZE] = 'unsupported size',
}

local function number_error(self, fn, result)
  if result == BAD_SIZE then error(format('%s: unsupported size %d', fn, #self), 0) end
  if result == BAD_NUMBER then
    error(format('%s: invalid number, value does not fit in %d bytes', fn, #self), 0)
  end
  check(result)
end

function sub.asnumber(self, endian)
  local value = number(store, self._a, self._c, self._e, self._n, little(endian))
  if value < 0 then number_error(self, 'asnumber', value) end
  return value
end

function sub.setnumber(self, value, endian)
  value = int(value, 'setnumber', 1)
  local result = set_number(store, self._a, self._c, self._e, self._n, value, little(endian))
  if result < 0 then number_error(self, 'setnumber', result) end
end

local function bits_error(fn, size, result)
  if result == BAD_SIZE and fn == 'setbits' and size > 64 then
    error(format('setbits: unsupported size %d', size), 0)
  end
  if result == BAD_NUMBER then
    error(format('%s: invalid number, value does not fit in %d bits', fn, size), 0)
  end
  if BAD_BITS[result] then error(fn .. ': ' .. BAD_BITS[result], 0) end
  check(result)
end

function sub.asbits(self, offset, n, endian)
  offset, n = int(offset, 'asbits', 1), int(n, 'asbits', 2)
  local value = bits(store, self._a, self._c, self._e, self._n, offset, n, little(endian))
  if value < 0 then bits_error('asbits', n, value) end
  return value
end

function sub.setbits(self, offset, n, value, endian)
  offset, n = int(offset, 'setbits', 1), int(n, 'setbits', 2)
  value = int(value, 'setbits', 3)
  local result =
    set_bits(store, self._a, self._c, self._e, self._n, offset, n, value, little(endian))
  if result < 0 then bits_error('setbits', n, result) end
end

function sub.zero(self)
  check(api.zero(store, self._a, self._c, self._e, self._n))
end

function sub.erase(self)
  check(api.erase(store, self._a, self._c, self._e, self._n))
end

function sub.replace(self, other)
  if other == nil then error('missing data parameter', 0) end
  local id = buffer_id(other, 'replace', 1)
  check(api.replace(store, self._a, self._c, self._e, self._n, id, out))
  cover(self)
end

-- The reference keeps the selection alive: while it can still be restored,
-- its place must not be closed by the collector.
function sub.select(self)
  local id = allocate(api.select, self._a, self._c, self._e, self._n, out)
  local reference = new_iterator(self._v, out.a, out.c, 0)
  local selection = new_owned(id)
  rawset(reference, '_s', selection)
  return reference, selection
end

function sub.isflat(self)
  return check(api.is_flat(store, self._a, self._c, self._e, self._n)) == 1
end

function sub.flatten(self)
  allocate(api.flatten, self._a, self._c, self._e, self._n, out)
  cover(self)
end

function sub.find(self, what, init)
  what = needle(what)
  return found(find(store, self._a, self._c, self._e, self._n, what, #what, init or 0))
end

function sub.count(self, value)
  return check(count_byte(store, self._a, self._c, self._e, self._n, single(value)))
end

function sub.sum(self)
  return check(sum(store, self._a, self._c, self._e, self._n))
end

-- Constructors ---------------------------------------------------------------

if lib.watch and lib.watch.methods then
  lib.watch.methods('bytes', sub, { 'asstring', 'asnumber', 'asbits' })
end

function vbuffer.vbuffer_from(value)
  value = text(value, 'vbuffer_from', 1)
  return new_owned(allocate(api.new_from, value, #value))
end

-- The bytes are zero in either case; the flag is Haka's.
function vbuffer.vbuffer_allocate(n, zero)
  n = int(n, 'vbuffer_allocate', 1)
  if n < 0 then error('number must not be negative', 0) end
  if zero ~= nil then flag(zero, 'vbuffer_allocate', 2) end
  return new_owned(allocate(api.new_zero, n))
end

function vbuffer.vbuffer_sub(from, to)
  if not is_iterator(from) or not is_iterator(to) then
    error('Wrong arguments for overloaded function \'vbuffer_sub\'', 0)
  end
  check(api.settle(store, from._a, from._c, to._a, to._c, out))
  return new_sub(from._v, out.a, out.c, out.e, out.n)
end

vbuffer.vbuffer = { from = vbuffer.vbuffer_from, allocate = vbuffer.vbuffer_allocate }

-- For the engine's own buffers, such as a packet's payload: an object that
-- raises `invalid buffer` once the engine has freed it.
function vbuffer.buffer_object(id)
  return object.new_view(id, false)
end

return vbuffer
