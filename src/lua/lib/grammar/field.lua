-- Fields: the functions by which results decode on read and encode on write.
--
-- They are made once per field of a compiled grammar. Those of numbers are
-- generated with offset, width and byte order in place, so that a compiled
-- read is one native call; each has a prototype of its own, for LuaJIT takes
-- the upvalues of a prototype with many closures for variables.

local host, lib = ...

local object, vbuffer = lib.bufobject, lib.vbuffer
local api, store = host.buf_api, host.store
local check, new_sub = object.check, object.new_sub
local load, error, type, rawget, rawset, getmetatable, tostring =
  load, error, type, rawget, rawset, getmetatable, tostring
local gsub, format, floor, ceil = string.gsub, string.format, math.floor, math.ceil

local field = {}

-- Numbers -------------------------------------------------------------------------

-- Bits that bytes scattered over a buffer hold: see `context.scattered`. Nil
-- when they had not come.
local function scattered(positions, first, bit, width)
  local last = first + ceil((bit + width) / 8) - 1
  if positions[2 * last + 1] == nil then return nil end
  return new_sub(false, positions[2 * first + 1], positions[2 * first + 2], 0, last - first + 1)
end

-- 64 bits that start inside a byte lie in nine: two reads, both exact.
local function wide(part, bit, width, little)
  local endian = little == 1 and 'little' or 'big'
  local rest = width - 32
  if little == 1 then
    return part:sub(4, 5):asbits(bit, rest, endian) * 2 ^ 32
      + part:sub(0, 5):asbits(bit, 32, endian)
  end
  local low = bit + rest
  return part:sub(0, 5):asbits(bit, rest, endian) * 2 ^ 32
    + part:sub(floor(low / 8), 5):asbits(low % 8, 32, endian)
end

local function set_wide(part, bit, width, value, little)
  local endian = little == 1 and 'little' or 'big'
  local rest, limit = width - 32, 2 ^ width
  if type(value) ~= 'number' or not (value > -limit and value < limit) then
    error(format('setbits: invalid number, value does not fit in %d bits', width), 0)
  end
  if value < 0 then value = value + limit end
  local high, low = floor(value / 2 ^ 32), floor(value % 2 ^ 32)
  if little == 1 then
    part:sub(0, 5):setbits(bit, 32, low, endian)
    part:sub(4, 5):setbits(bit, rest, high, endian)
  else
    local at = bit + rest
    part:sub(0, 5):setbits(bit, rest, high, endian)
    part:sub(floor(at / 8), 5):setbits(at % 8, 32, low, endian)
  end
end

-- A part's bits as a number, and the reverse.
local function read(part, bit, width, little)
  if bit + width > 64 then return wide(part, bit, width, little) end
  return part:asbits(bit, width, little == 1 and 'little' or 'big')
end

local function write(part, bit, width, value, little)
  if bit + width > 64 then return set_wide(part, bit, width, value, little) end
  local endian = little == 1 and 'little' or 'big'
  if bit == 0 and (width == 8 or width == 16 or width == 32 or width == 64) then
    return part:setnumber(value, endian)
  end
  part:setbits(bit, width, value, endian)
end

local GETTER = [[
local rawget, rawset, fetch, store, check, read, scattered, new_sub, convert, validator = ...
return function (self)
  local at = rawget(self, '_a$KEY')
  if not at then return nil end
  $VALIDATE
  $CACHED
  local value
  if at ~= true then
    value = $FETCH
    if value < 0 then check(value) end
  else
    local part = scattered(rawget(self, '_c$KEY'), $FIRST, $BIT, $WIDTH)
    if not part then return nil end
    value = read(part, $BIT, $WIDTH, $LITTLE)
  end
  $CONVERT
  $KEEP
  return value
end
]]

local VALIDATE = [[local pending = rawget(self, '_validate')
  if pending and pending[validator] ~= nil then
    pending[validator] = nil
    validator(self)
  end]]

local CACHED = [[local kept = rawget(self, '_m%s')
  if kept ~= nil then return kept end]]

local function aligned(self)
  local bits = self.bits
  return self.bit == 0 and (bits == 8 or bits == 16 or bits == 32 or bits == 64)
end

-- Common substitutions of a node's accessors. `bit` is an expression.
local function terms(self, key, bit)
  local dynamic = bit ~= nil
  local first, width, little = self.first, self.bits, self.little and 1 or 0
  local size = dynamic and "9" or tostring(ceil((self.bit + width) / 8))
  local at = format("rawget(self, '_c%s') + %d", key, first * 8)
  local fetch
  if dynamic then
    fetch = format("read(new_sub(false, at, %s, 0, %s), %s, %d, %d)", at, size, bit, width, little)
  elseif aligned(self) then
    fetch = format('fetch(store, at, %s, 0, %s, %d)', at, size, little)
  elseif self.bit + width > 64 then
    fetch = format('read(new_sub(false, at, %s, 0, %s), %d, %d, %d)', at, size, self.bit, width,
      little)
  else
    fetch = format('fetch(store, at, %s, 0, %s, %d, %d, %d)', at, size, self.bit, width, little)
  end
  return {
    KEY = key, FIRST = first, WIDTH = width, LITTLE = little, SIZE = size, AT = at,
    BIT = bit or self.bit, FETCH = fetch,
    VALIDATE = self.validator and VALIDATE or '',
    CACHED = self.memo and format(CACHED, self.memo_key) or '',
    KEEP = self.memo and format("rawset(self, '_m%s', value)", self.memo_key) or '',
    CONVERT = self.converter and 'value = convert(value)' or '',
  }
end

local function compile(template, values, name, ...)
  local source = gsub(template, '%$(%u+)', values)
  return load(source, '=[wero]/field ' .. name, 't')(...)
end

local SETTER = [[
local error, rawget, rawset, write, new_sub, scattered, name, convert, validator = ...
return function (self, value)
  local at = rawget(self, '_a$KEY')
  if not at then
    rawset(self, name, value)
    return
  end
  $MARK
  $CONVERT
  local part
  if at ~= true then
    part = new_sub(rawget(self, '_v'), at, $AT, 0, $SIZE)
  else
    part = scattered(rawget(self, '_c$KEY'), $FIRST, $BIT, $WIDTH)
  end
  write(part, $BIT, $WIDTH, value, $LITTLE)
  $FORGET
end
]]

local MARK = [[local pending = rawget(self, '_validate')
  if pending then
    if value == nil then
      pending[validator] = self
      return
    end
    pending[validator] = nil
  end]]

-- Writing nil is an error of the rule's, unless somebody can make it right.
local REFUSE_NIL = [[if value == nil then error('invalid value for field ' .. name, 0) end]]

local function forget(self)
  return self.memo and format("rawset(self, '_m%s', nil)", self.memo_key) or ''
end

local function number_field(self, key, bit)
  local values = terms(self, key, bit)
  local fetch = aligned(self) and not bit and api.number or api.bits
  local get = self.converter and self.converter.get
  local set = self.converter and self.converter.set
  if self.converter and not get then values.CONVERT = '' end
  local name = self.name or ''
  self.prop.get = compile(GETTER, values, name, rawget, rawset, fetch, store, check, read,
    scattered, new_sub, get, self.validator)
  values.MARK = self.validator and MARK or REFUSE_NIL
  values.CONVERT = set and 'value = convert(value)' or ''
  values.FORGET = forget(self)
  self.prop.set = compile(SETTER, values, name, error, rawget, rawset, write, new_sub, scattered,
    name, set, self.validator)
end

-- Values that are parts of a buffer -------------------------------------------------

-- The text of a token's new value, which the whole pattern has to match.
local function text_of(self, value)
  if type(value) == 'number' then value = tostring(value) end
  if type(value) ~= 'string' then
    if getmetatable(value) == 'vbuffer_sub' then
      value = value:asstring()
    elseif getmetatable(value) == 'vbuffer' then
      value = value:sub():asstring()
    end
  end
  local found = type(value) == 'string'
    and self.regexp:match(vbuffer.vbuffer_from(value):pos('begin'), false)
  if not found or #found ~= #value then
    error(format("token value '%s' does not verify /%s/", tostring(value), self.pattern), 0)
  end
  return value
end
field.token_text = text_of

-- Replaces the bytes of a part by a value as it is stored.
function field.store_bytes(part, value)
  local kind = getmetatable(value)
  if kind == 'vbuffer' then return part:replace(value) end
  if kind == 'vbuffer_sub' then value = value:asstring() end
  part:setstring(value)
end
local store_bytes = field.store_bytes

-- What a part means to rules.
local function decoder(self)
  local get = self.converter and self.converter.get
  if self.kind == 'token' and not self.raw then
    if get then return function (part) return get(part:asstring()) end end
    return function (part) return part:asstring() end
  end
  return get or function (part) return part end
end

-- Compounds have a converter for reading; what is written takes their place.
local function encoder(self)
  local set = self.converter and self.converter.set
  if self.body then return nil end
  if self.kind == 'token' then
    return function (part, value)
      if set then value = set(value) end
      part:setstring(text_of(self, value))
    end
  end
  return function (part, value)
    if set then value = set(value) end
    store_bytes(part, value)
  end
end

local function value_field(self, key)
  local decode, encode, validator = decoder(self), encoder(self), self.validator
  local name, memo, slot, kept = self.name, self.memo, '_s' .. key, '_m' .. key
  self.decode = decode

  function self.prop.get(object)
    local part = rawget(object, slot)
    if not part then return nil end
    if validator then
      local pending = rawget(object, '_validate')
      if pending and pending[validator] ~= nil then
        pending[validator] = nil
        validator(object)
      end
    end
    if not memo then return decode(part) end
    local value = rawget(object, kept)
    if value == nil then
      value = decode(part)
      rawset(object, kept, value)
    end
    return value
  end

  function self.prop.set(object, value)
    local part = rawget(object, slot)
    if not part then return rawset(object, name, value) end
    local pending = validator and rawget(object, '_validate')
    if pending then
      pending[validator] = value == nil and object or nil
      if value == nil then return end
    end
    if value == nil then error(format('invalid value for field %s', name), 0) end
    if encode then encode(part, value) else rawset(object, slot, value) end
    if memo then rawset(object, kept, nil) end
  end
end

-- Whether rules find a field in the result as it is, and not by a function.
function field.is_plain(self)
  if self.kind == 'number' then return false end
  if self.kind == 'token' and not self.raw then return false end
  return not (self.converter or self.validator or self.memo)
end

-- Whether a result has the field: its accessors are those of all results of
-- the rule, be it in a case that was not taken.
local function presence(slot)
  return function (object) return rawget(object, slot) and true or false end
end

-- Makes the accessors of a node's value: `prop.get(result)`, `prop.set`,
-- `prop.present`. A node without name has them if its checks read it.
function field.define(grammar, self)
  if self.prop then return end
  self.prop = {}
  grammar.keys = grammar.keys + 1
  self.slot = grammar.keys
  self.memo_key = self.slot
  if self.kind ~= 'number' then
    self.prop.present = presence('_s' .. self.slot)
    return value_field(self, self.slot)
  end
  if self.block then
    self.prop.present = presence('_a' .. self.block.key)
    return number_field(self, self.block.key)
  end
  self.first, self.bit = 0, 0
  self.slot = 'd' .. self.slot
  self.prop.present = presence('_a' .. self.slot)
  number_field(self, self.slot, format("rawget(self, '_b%s')", self.slot))
end

return field
