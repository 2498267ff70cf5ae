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
local advance = api.advance
local error, type, tonumber, getmetatable = error, type, tonumber, getmetatable
local format, huge = string.format, math.huge
local fail = context.fail

local bytes = {}

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

-- Looks for the delimiter from the iterator on, arrival by arrival, and calls
-- `deliver(part, last)` with what is no part of it; `deliver` returns whether
-- that failed. What may be the beginning of the delimiter is kept, and held,
-- until it is decided. The iterator ends before the delimiter, or behind all.
-- Returns whether the parse failed.
local function search(ctx, self, deliver)
  local iter = ctx.iter
  local sink = self.regexp:create_sink()
  local readonly, held = host.passthrough == true, ctx._held
  -- Where the delimiter may begin, and whether that is where kept bytes do.
  local candidate, kept, kept_meter = nil, false, 0

  while true do
    local meter = iter.meter
    local part = arrived(iter, -1)
    local eof = not part or finished(iter)
    local matched, from = sink:feed(part, eof)
    local a, c
    if kept then
      a, c, meter = candidate._a, candidate._c, kept_meter
    elseif part then
      a, c = part._a, part._c
    end
    if from then candidate = from end
    if not matched and (eof or not sink:ispartial()) then candidate = nil end

    local to_a, to_c = iter._a, iter._c
    if candidate then to_a, to_c = candidate._a, candidate._c end
    local size = 0
    if a then
      size = check(api.span_length(store, a, c, to_a, to_c))
      part = nil
      if size > 0 then
        check(settle(store, a, c, to_a, to_c, out))
        part = new_sub(iter._v, out.a, out.c, out.e, out.n)
      end
    end
    if candidate then
      kept, kept_meter = true, meter + size
      if matched then
        iter._a, iter._c, iter.meter = candidate._a, candidate._c, kept_meter
      elseif size > 0 or ctx._held == held then
        context.release_to(ctx, held)
        context.hold_at(ctx, candidate._a, candidate._c, kept_meter, readonly)
      end
    else
      kept = false
      context.release_to(ctx, held)
    end

    if matched then
      context.release_to(ctx, held)
      return deliver(part, true)
    end
    if part and deliver(part, eof) then return true end
    if eof then return deliver(nil, true) end
  end
end

-- Hands over what comes before the delimiter, or everything.
function bytes.chunks_until(ctx, self, _, result)
  return search(ctx, self, function (part, last) return give(ctx, self, result, part, last) end)
end

local function nothing() return false end

-- The part before the delimiter, or everything; nil after an error.
function bytes.read_until(ctx, self)
  local iter = ctx.iter
  local held = ctx._held
  local a, c = context.hold(ctx, host.passthrough == true)
  if search(ctx, self, nothing) then return nil end
  check(settle(store, a, c, iter._a, iter._c, out))
  local part = new_sub(iter._v, out.a, out.c, out.e, out.n)
  context.release_to(ctx, held)
  return part
end

return bytes
