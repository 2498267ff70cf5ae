-- What buffer objects are made of: their metatables, their errors, the
-- border to the native functions.
--
-- An object is a small table of numbers. `_b` is a buffer id; `_a`, `_c` a
-- position; `_e`, `_n` the end of a span (or zero and a byte count); `_v`
-- keeps the owner of the bytes alive; `_h` is the handle whose finalizer
-- frees a buffer. (For `_l` and `_p` see `flow_data`.) All are checked at
-- every use on the native side, so a rule that changes them gets an error, or
-- other bytes of its own, at worst.

local host, lib = ...

local ffi, api, store = host.ffi, host.buf_api, host.store
local type, tonumber, tostring, error = type, tonumber, tostring, error
local setmetatable, getmetatable = setmetatable, getmetatable
local format, collectgarbage = string.format, collectgarbage
local to_string, on_collect = ffi.string, ffi.gc
local error_text, own, release = api.error_text, api.own, api.release

local object = {}

-- Where native functions leave results that are not one number.
local out = ffi.new('wero_buf_out')
object.out = out

-- Error texts by code and codes by text.
local texts, codes = {}, {}
do
  local code = 0
  repeat
    code = code + 1
    error_text(store, code, out)
    texts[code] = to_string(out.p, out.len)
    codes[texts[code]] = -code
  until texts[code] == 'internal buffer error'
end
object.codes = codes

local function raise(result)
  error(texts[-result] or texts[#texts], 0)
end

-- Passes a native result on; negative ones are errors.
function object.check(result)
  if result < 0 then raise(result) end
  return result
end

local OUT_OF_MEMORY = codes['not enough memory']

-- Calls a native function that needs memory. The collector does not see how
-- much the buffers waiting for it hold, so it is run before giving up.
function object.allocate(f, ...)
  local result = f(store, ...)
  if result == OUT_OF_MEMORY then
    collectgarbage()
    result = f(store, ...)
  end
  if result < 0 then raise(result) end
  return result
end

local function expected(fn, n, wanted, value)
  local found = getmetatable(value)
  if type(found) ~= 'string' then found = type(value) end
  error(format("Error in %s (arg %d), expected '%s' got '%s'", fn, n, wanted, found), 0)
end

-- Integers may come as numeric strings; fractions are cut natively.
function object.int(value, fn, n)
  if type(value) == 'number' then return value end
  local number = type(value) == 'string' and tonumber(value)
  if not number then expected(fn, n, 'int', value) end
  return number
end

function object.text(value, fn, n)
  if type(value) == 'string' then return value end
  if type(value) ~= 'number' then expected(fn, n, 'string', value) end
  return value .. ''
end

function object.flag(value, fn, n)
  if type(value) ~= 'boolean' then expected(fn, n, 'bool', value) end
  return value and 1 or 0
end

function object.buffer(value, fn, n)
  if getmetatable(value) ~= 'vbuffer' then expected(fn, n, 'vbuffer', value) end
  return value._b
end

function object.is_iterator(value)
  local name = getmetatable(value)
  return name == 'vbuffer_iterator' or name == 'vbuffer_iterator_blocking'
end

-- A kind of object: `methods` and `getters` are filled by the module that
-- defines it, `byte` and `set_byte` serve number keys where there are any.
local function define(name, attributes)
  local methods, getters = {}, {}
  local meta = { __name = name, __metatable = name, __attributes = attributes,
    __methods = methods }
  local kind = { methods = methods, getters = getters, meta = meta }
  object[name] = kind

  function meta.__index(self, key)
    local method = methods[key]
    if method then return method end
    local getter = getters[key]
    if getter then
      local value = getter(self)
      return value
    end
    if kind.byte and type(key) == 'number' then return kind.byte(self, key) end
    error(format("unknown field '%s'", tostring(key)), 0)
  end

  function meta.__newindex(self, key, value)
    if kind.set_byte and type(key) == 'number' then return kind.set_byte(self, key, value) end
    if methods[key] or getters[key] then error('This variable is immutable', 0) end
    error(format("unknown field '%s'", tostring(key)), 0)
  end

  if lib and lib.pprint then
    lib.pprint.register_named(name, attributes)
    meta.__tostring = lib.pprint.text_of(name)
  end
  return meta
end

local Buffer = define('vbuffer', { 'modified' })
local Sub = define('vbuffer_sub', {})
local Iterator = define('vbuffer_iterator', { 'iseof', 'meter' })
local Blocking = define('vbuffer_iterator_blocking', { 'iseof', 'meter' })
local Stream = define('vbuffer_stream', { 'data', 'isfinished' })
local SubStream = define('vbuffer_sub_stream', { 'data', 'isfinished' })

-- The finalizer of a buffer or stream that Lua owns; it is a C function, for
-- a Lua one would be hooked and may fail.
local function handle(id)
  local made = own(store, id)
  if made == nil then raise(codes['internal buffer error']) end
  return on_collect(made, release)
end

function object.new_owned(id)
  return setmetatable({ _b = id, _v = false, _h = handle(id) }, Buffer)
end

-- A buffer that `owner`, or the engine, frees.
function object.new_view(id, owner)
  return setmetatable({ _b = id, _v = owner, _h = false }, Buffer)
end

function object.new_sub(owner, a, c, e, n)
  return setmetatable({ _v = owner, _a = a, _c = c, _e = e, _n = n }, Sub)
end

function object.new_iterator(owner, a, c, meter)
  return setmetatable({ _v = owner, _a = a, _c = c, meter = meter }, Iterator)
end

function object.new_blocking(owner, a, c, meter)
  return setmetatable({ _v = owner, _a = a, _c = c, meter = meter }, Blocking)
end

-- `_m` becomes the coroutine manager.
function object.new_stream(id, owned)
  return setmetatable({ _b = id, _h = owned and handle(id), _m = false }, Stream)
end

-- `_places` holds where its pieces came from, from number `_first` to `_last`.
function object.new_sub_stream(id)
  return setmetatable({
    _b = id, _h = handle(id), _m = false, _places = {}, _first = 1, _last = 0,
  }, SubStream)
end

return object
