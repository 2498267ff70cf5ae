-- Generated code of what is no compound: numbers, bytes, tokens, actions.

local host, lib = ...

local api, store, out = host.buf_api, host.store, lib.bufobject.out
local write, bytes = lib['grammar/write'], lib['grammar/bytes']
local context, create = lib['grammar/context'], lib['grammar/create']
local ipairs, type, tostring, rawset = ipairs, type, tostring, rawset
local format = string.format
local STOP_ON_ERROR = write.STOP_ON_ERROR

local primitive = {}

local function endian_text(self)
  return format('parsing number %d bits (%s endian)', self.bits, self.little and 'little' or 'big')
end

-- Blocks ----------------------------------------------------------------------------

local function forget_kept(w, self)
  if self.memo and self.prop then
    w:put('$rawset(res, $slot, nil)', { rawset = rawset, slot = '_m' .. self.memo_key })
  end
end

-- What follows the bytes of a number, in a block or alone.
local function finish_number(w, self)
  if not self.prop then return end
  write.ambiguous(w, self)
  forget_kept(w, self)
  if w.variant.create and self.name then
    w:put('$init(ctx, res, $node)', { init = create.number, node = self })
  end
  if self.checks then
    w.nodes = w.nodes + 1
    write.checks(w, self, w:k(self.prop.get) .. '(res)')
  end
end

function primitive.block(w, block)
  for _, self in ipairs(block.fields) do
    if self.kind == 'number' then write.trace(w, self, endian_text(self)) end
  end
  if block.need > 0 then
    w:put('do')
    w:put('local a, c, failed')
    w:put(format('if $step($store, it._a, it._c, %d, $out) == %d then', block.need, block.need),
      { step = api.advance_within, store = store, out = out })
    w:put('a, c = $out.a, $out.c', { out = out })
    if block.hold and not block.alone then
      w:put(format('$hold(ctx, a, c, it.meter, %s)', tostring(block.readonly)),
        { hold = context.hold_at })
    end
    if block.take == block.need then
      w:put('it._a, it._c = $out.a2, $out.c2', { out = out })
    else
      w:put(format('it._a, it._c = a, c + %d', block.take * 8))
    end
    w:put(format('it.meter = it.meter + %d', block.take))
    w:put('else')
    w:put('a, c, failed = $scattered(ctx, $block)',
      { scattered = context.scattered, block = block })
    w:put('end')
    if block.stored then
      w:put(format("$rawset(res, '_a%s', a) $rawset(res, '_c%s', c)", block.key, block.key),
        { rawset = rawset })
    end
    w:put('if failed then return true end')
    w:put('end')
  end
  for _, self in ipairs(block.fields) do
    if self.kind == 'number' then finish_number(w, self) end
  end
end

-- Nodes -----------------------------------------------------------------------------

local emit = {}
primitive.emit = emit

-- From here on the place in the byte is in `ctx._bit`.
local function put_bit(w, phase)
  if phase then w:put(format('ctx._bit = %d', phase)) end
end

function emit.number(w, self)
  write.trace(w, self, endian_text(self))
  w:put('do')
  w:put(format('local a, c, bit, failed = $bits(ctx, $node, %d)', self.bits),
    { bits = context.dynamic_bits, node = self })
  if self.prop then
    w:put('$rawset(res, $at, a) $rawset(res, $code, c) $rawset(res, $bit, bit)', { rawset = rawset,
      at = '_a' .. self.slot, code = '_c' .. self.slot, bit = '_b' .. self.slot })
  end
  w:put('if failed then return true end')
  w:put('end')
  finish_number(w, self)
end

function emit.bits(w, self)
  put_bit(w, self.phase)
  if type(self.bits) == 'number' then
    w:put(format('$skip(ctx, %d)', self.bits), { skip = context.skip_bits })
  else
    w:put('ctx._node = $node', { node = self })
    w:put('do local bits = $fn(res, ctx)', { fn = self.bits })
    w:put(STOP_ON_ERROR)
    w:put('$skip(ctx, bits) end', { skip = context.skip_bits })
  end
end

function emit.align(w, self)
  put_bit(w, self.phase)
  w:put(format('$align(ctx, %d)', self.bits), { align = context.align })
end

primitive.bit = put_bit

-- Bytes and tokens start with a byte.
local function put_aligned(w, self)
  if self.phase == 0 then return end
  if self.phase then put_bit(w, self.phase) end
  w:put('if ctx._bit ~= 0 then return $fail(ctx, $node, $message) end',
    { fail = context.fail, node = self, message = 'byte primitive requires aligned bits' })
end

-- The value of a part that has no name.
local function shown(w, self)
  local get = self.converter and self.converter.get
  local value = 'part'
  if self.kind == 'token' and not self.raw then value = 'part:asstring()' end
  if get then return format('%s(%s)', w:k(get), value) end
  return value
end

-- Puts a part of the buffer that was parsed into the result.
local function put_part(w, self)
  if w.variant.create and self.name then
    w:put('part = $init(ctx, res, $node, part)', { init = create.part, node = self })
  end
  if self.checks then
    write.checks(w, self, self.prop and w:k(self.decode) .. '(part)' or shown(w, self))
  end
  if not self.name then return end
  if self.prop then
    w:put('$rawset(res, $slot, part)', { rawset = rawset, slot = '_s' .. self.slot })
    write.ambiguous(w, self)
    forget_kept(w, self)
  else
    w:put('$rawset(res, $name, part)', { rawset = rawset, name = self.name })
  end
end

function emit.token(w, self)
  put_aligned(w, self)
  write.trace(w, self, format('parsing token /%s/', self.pattern))
  w:put('do')
  if w.variant.create and self.name then
    w:put('local part = $make(ctx, $node)', { make = create.token, node = self })
    w:put('if not part then part = $match(ctx, $node) end',
      { match = bytes.token, node = self })
  else
    w:put('local part = $match(ctx, $node)', { match = bytes.token, node = self })
  end
  w:put('if not part then return true end')
  put_part(w, self)
  w:put('end')
end

function emit.bytes(w, self)
  put_aligned(w, self)
  write.trace(w, self, 'parsing bytes')
  w:put('do')
  w:put('ctx._node = $node', { node = self })
  local count = 'nil'
  if type(self.length) == 'function' then
    w:put('local count = $fn(res, ctx)', { fn = self.length })
    w:put(STOP_ON_ERROR)
    count = 'count'
  elseif self.length then
    count = w:literal(self.length)
  end
  if self.chunk then
    w:put(format('if $read(ctx, $node, %s, res) then return true end', count),
      { read = self.delimiter and bytes.chunks_until or bytes.chunks, node = self })
    w:put('end')
    return
  end
  w:put(format('local part = $read(ctx, $node, %s)', count),
    { read = self.delimiter and bytes.read_until or bytes.read, node = self })
  w:put('if not part then return true end')
  put_part(w, self)
  w:put('end')
end

function emit.execute(w, self)
  w:put('ctx._node = $node', { node = self })
  w:put('$fn(res, ctx)', { fn = self.fn })
  w:put(STOP_ON_ERROR)
  write.checks(w, self, 'nil')
end

function emit.verify(w, self)
  w:put('ctx._node = $node', { node = self })
  w:put('do local good = $fn(res, ctx)', { fn = self.fn })
  w:put(STOP_ON_ERROR)
  w:put('if not good then return $fail(ctx, $node, $message) end end',
    { fail = context.fail, node = self, message = tostring(self.message or 'verification failed') })
end

function emit.retain(w, self)
  w:put(format('$hold(ctx, %s)', tostring(self.readonly or host.passthrough == true)),
    { hold = context.hold })
end

function emit.release(w)
  w:put('$release(ctx)', { release = context.release })
end

function emit.empty(w, self)
  write.checks(w, self, 'nil')
end

function emit.error(w, self)
  w:put('do return $fail(ctx, $node, $message) end',
    { fail = context.fail, node = self, message = tostring(self.message or 'failed') })
end

return primitive
