-- Parsing bytes and tokens: what is not a number.
--
-- `read` gives a part of the buffer. `chunks` hands it to a callback piece by
-- piece as it comes, `fn(result, part, last, ctx)`, and holds nothing but
-- what may still turn out to be the delimiter.

local host, lib = ...

local object, context = lib.bufobject, lib['grammar/context']
local api, store, out, check = host.buf_api, host.store, object.out, object.check
local new_sub, settle = object.new_sub, api.settle
local collect = lib.iterator.collect
local advance, at_end = api.advance, api.at_end
local error, format, type, tonumber, getmetatable = error, string.format, type, tonumber, getmetatable
local huge, min = math.huge, math.min
local fail = context.fail

local bytes = {}

-- What `at_end` answers at the end for good.
local FOR_GOOD = 2

local function is_blocking(iter)
  return getmetatable(iter) == 'vbuffer_iterator_blocking'
end

-- The number of bytes that was asked for; nil after a parse error.
local function checked(ctx, self, count)
  local number = tonumber(count)
  if not number or number ~= number then
    error(format('byte count must be a number, got %s', type(count)), 0)
  end
  if number < 0 then
    fail(ctx, self, format('byte count must not be negative, got %d', number))
    return nil
  end
  return number
end

-- So many bytes, or all; fewer at the end. Nil after an error.
function bytes.read(ctx, self, count)
  local iter = ctx.iter
  if count == nil then
    count = huge
  else
    count = checked(ctx, self, count)
    if not count then return nil end
  end
  if count == 0 then return new_sub(iter._v, iter._a, iter._c, 0, 0) end
  if not is_blocking(iter) then
    local part = iter:sub(count == huge and -1 or count)
    return part
  end
  local got, a, c = collect(iter, count)
  if got == 0 then return new_sub(iter._v, iter._a, iter._c, 0, 0) end
  return new_sub(iter._v, a, c, 0, got)
end

-- Chunks ------------------------------------------------------------------------

local function give(ctx, self, result, part, last)
  ctx._node = self
  self.chunk(result, part, last, ctx)
  return ctx._error
end

-- The bytes that are here, at most `most`; nil at the end of all.
local function arrived(iter, most)
  if is_blocking(iter) and not iter:wait() then return nil end
  local count = check(advance(store, iter._a, iter._c, most, out))
  if count == 0 then return nil end
  iter._a, iter._c, iter.meter = out.a2, out.c2, iter.meter + count
  return new_sub(iter._v, out.a, out.c, 0, count), count
end

-- Whether nothing comes after an iterator, as far as is known now.
local function finished(iter)
  if not is_blocking(iter) then
    return check(advance(store, iter._a, iter._c, 1, out)) == 0
  end
  return lib.iterator.exhausted(iter)
end

-- Returns whether the parse failed.
function bytes.chunks(ctx, self, count, result)
  local iter = ctx.iter
  local left = huge
  if count ~= nil then
    left = checked(ctx, self, count)
    if not left then return true end
  end
  while left > 0 do
    local part, size = arrived(iter, left == huge and -1 or left)
    if not part then break end
    left = left - size
    local done = left == 0 or finished(iter)
    if give(ctx, self, result, part, done) then return true end
    if left == 0 then return false end
  end
  if give(ctx, self, result, nil, true) then return true end
  return false
end

-- Tokens ------------------------------------------------------------------------

-- The longest match here, or nil after an error; the iterator then stands
-- where it stood.
function bytes.token(ctx, self)
  local iter = ctx.iter
  local part = self.regexp:match(iter, host.passthrough == true)
  if not part then
    fail(ctx, self, format("token /%s/ doesn't match", self.pattern))
    return nil
  end
  iter:split()
  return part
end

-- Delimiters --------------------------------------------------------------------

return bytes
