-- The compiler: writes Lua for the nodes of a grammar.
--
-- Each rule's contents become one function `(ctx, res) -> failed` without
-- loops over nodes: what is known is in place as constants, so that LuaJIT
-- traces a parse as straight code. A block of fixed size is one native step,
-- whatever the number of its fields. There are up to four variants of a
-- function, with and without creation and debug lines, made when needed.

local host, lib = ...

local api, store, out = host.buf_api, host.store, lib.bufobject.out
local class, results = lib.class, lib['grammar/result']
local context, field, create = lib['grammar/context'], lib['grammar/field'], lib['grammar/create']
local pairs, ipairs, next, type, tonumber, tostring, error, load, rawget, rawset, setmetatable =
  pairs, ipairs, next, type, tonumber, tostring, error, load, rawget, rawset, setmetatable
local concat, format = table.concat, string.format
local Result, ArrayResult = results.Result, results.ArrayResult

local generate = {}

-- Constants beyond this are reached through their table: a function has room
-- for 60 upvalues.
local MOST_UPVALUES = 45
-- Nodes in one function; contents beyond this get one of their own.
local MOST_NODES = 40

-- Scopes: which fields a result has -----------------------------------------------

local function dispatcher(name)
  local slot = '_f' .. name
  return {
    get = function (self)
      local prop = rawget(self, slot)
      if not prop then return nil end
      local value = prop.get(self)
      return value
    end,
    set = function (self, value)
      local prop = rawget(self, slot)
      if not prop then return rawset(self, name, value) end
      prop.set(self, value)
    end,
  }
end

local function add(scope, self)
  local name = self.name
  local before = scope.named[name]
  scope.named[name] = before or self
  if before and before ~= self then
    -- Which of them was parsed last decides.
    before.ambiguous, self.ambiguous = true, true
    scope.properties[name] = dispatcher(name)
  elseif self.prop then
    scope.properties[name] = self.prop
  end
end

local prepare

local function collect(grammar, scope, steps)
  for _, step in ipairs(steps) do
    for _, self in ipairs(step.block and step.block.fields or { step.node }) do
      local body = self.body
      local transparent = body and not self.name and body.kind ~= 'array' or self.kind == 'branch'
      if self.kind == 'number' and (self.name or self.checks)
        or not transparent and self.name and not field.is_plain(self) then
        field.define(grammar, self)
        if self.block then
          self.block.stored = true
          scope.keys[self.block.key] = true
        end
      end
      if self.name and not transparent then add(scope, self) end
      if body and not transparent then
        prepare(grammar, self)
      elseif body and not scope.seen[body] then
        scope.seen[body] = true
        for name, property in pairs(body.extras or {}) do scope.properties[name] = property end
        if body.steps then collect(grammar, scope, body.steps) end
        for _, case in pairs(body.cases or {}) do
          collect(grammar, scope, case.steps)
          if body.kind == 'try' then generate.scope(grammar, case) end
        end
      end
    end
  end
end

-- The scope of what `owner` gives a result to: its fields' properties, and
-- the keys of its blocks.
function generate.scope(grammar, owner, steps, extras)
  if owner.scope then return owner.scope end
  local scope = { properties = {}, keys = {}, named = {}, seen = {} }
  owner.scope = scope
  class.shared_properties[scope.properties] = true
  for name, property in pairs(extras or {}) do scope.properties[name] = property end
  collect(grammar, scope, steps or owner.steps)
  return scope
end

-- A compound with a result of its own.
function prepare(grammar, self)
  local body = self.body
  if body.kind == 'array' then
    return generate.scope(grammar, body.element)
  end
  if body.prepared then return end
  -- Set first: the rule may contain itself.
  local scope = { properties = {}, keys = {}, named = {}, seen = {} }
  class.shared_properties[scope.properties] = true
  body.prepared = scope
  for name, property in pairs(body.extras or {}) do scope.properties[name] = property end
  if body.steps then
    collect(grammar, scope, body.steps)
  else
    for _, case in pairs(body.cases) do
      collect(grammar, scope, case.steps)
      if body.kind == 'try' then generate.scope(grammar, case) end
    end
  end
end

-- Writing -------------------------------------------------------------------------

local Writer = {}
Writer.__index = Writer

local function new_writer(grammar, variant)
  return setmetatable({ grammar = grammar, variant = variant, lines = {}, constants = {},
    names = {}, nodes = 0 }, Writer)
end

-- The name of a constant in the source.
function Writer:k(value)
  local name = self.names[value]
  if not name then
    local n = #self.constants + 1
    self.constants[n] = value
    name = n <= MOST_UPVALUES and 'k' .. n or 'K[' .. n .. ']'
    self.names[value] = name
  end
  return name
end

-- A value that may be a number, a boolean or a string as well.
function Writer:literal(value)
  if type(value) == 'string' then return format('%q', value) end
  if type(value) == 'number' and value == value and value ~= 1 / 0 and value ~= -1 / 0 then
    return format('%.17g', value)
  end
  if type(value) == 'boolean' then return tostring(value) end
  return self:k(value)
end

-- A line: $name stands for the constant of that name in `values`.
function Writer:put(line, values)
  if values then
    line = line:gsub('%$(%a+)', function (name)
      local value = values[name]
      if value == nil then error('no value for ' .. name, 0) end
      return self:k(value)
    end)
  end
  self.lines[#self.lines + 1] = line
end

function Writer:load(name, parameters)
  local count = #self.constants
  local shown = {}
  for i = 1, count < MOST_UPVALUES and count or MOST_UPVALUES do shown[i] = 'k' .. i end
  local head = 'local K = ...\n'
  if #shown > 0 then
    local places = {}
    for i = 1, #shown do places[i] = format('K[%d]', i) end
    head = head .. format('local %s = %s\n', concat(shown, ', '), concat(places, ', '))
  end
  head = head .. (parameters and format('return function (%s)', parameters)
    or 'return function (ctx, res)\nlocal it = ctx.iter')
  local source = concat({ head, concat(self.lines, '\n'), 'end' }, '\n')
  local chunk, message = load(source, '=[wero]/grammar ' .. name, 't')
  if not chunk then error(format('grammar %s: %s', name, message), 0) end
  return chunk(self.constants)
end

-- Results ---------------------------------------------------------------------------

-- The expression that makes a result with the fields of a scope.
local function new_result(w, cls, scope, parent, top)
  local validated = w.grammar.validated
  if cls == nil or cls == Result then
    local slots = { format('__property = %s', w:k(scope.properties)), '_v = it._v' }
    for key in pairs(scope.keys) do
      slots[#slots + 1] = format('_a%s = false, _c%s = false', key, key)
    end
    if parent then slots[#slots + 1] = '_parent = ' .. parent end
    if top then slots[#slots + 1] = top end
    if validated then slots[#slots + 1] = '_validate = ctx._pending' end
    return format('%s({ %s }, %s)', w:k(setmetatable), concat(slots, ', '), w:k(Result))
  end
  return format('%s(%s, %s, it._v, %s, %s)', w:k(results.instance), w:k(cls),
    w:k(scope.properties), parent or 'nil', validated and 'ctx._pending' or 'nil')
end

local function new_array(w, self, parent)
  local body = self.body
  local element = w:k(generate.element(w.grammar, body))
  local cls = self.class
  if cls == nil or cls == ArrayResult then
    local slots = { '_begin = it:copy()', '_entity = ' .. element }
    if body.maker then slots[#slots + 1] = '_create = ' .. w:k(body.maker) end
    if parent then slots[#slots + 1] = '_parent = ' .. parent end
    if w.grammar.validated then slots[#slots + 1] = '_validate = ctx._pending' end
    return format('%s({ %s }, %s)', w:k(setmetatable), concat(slots, ', '), w:k(ArrayResult))
  end
  return format('%s(%s, it, %s, %s, %s, %s)', w:k(results.array), w:k(cls), element,
    body.maker and w:k(body.maker) or 'nil', parent or 'nil',
    w.grammar.validated and 'ctx._pending' or 'nil')
end

-- Checks ----------------------------------------------------------------------------

local STOP_ON_ERROR = 'if ctx._error then return true end'

-- `value` is an expression; what reads it runs right after parsing.
local function put_checks(w, self, value)
  if not self.checks then return end
  w:put('do')
  w:put('local value = ' .. value)
  for _, check in ipairs(self.checks) do
    w:put('ctx._node = $node', { node = self })
    if check.apply then
      w:put('$fn(value, res, ctx)', { fn = check.apply })
      w:put(STOP_ON_ERROR)
    else
      if check.expect then
        w:put('local wanted = $fn(res, ctx)', { fn = check.expect })
        w:put(STOP_ON_ERROR)
      else
        w:put('local wanted = ' .. w:literal(check.value))
      end
      w:put('if value ~= wanted then return $wrong(ctx, $node, wanted, value) end',
        { wrong = generate.wrong_value, node = self })
    end
  end
  w:put('end')
end

function generate.wrong_value(ctx, self, wanted, found)
  return context.fail(ctx, self, format("incorrect value, expected '%s' got '%s'",
    tostring(wanted), tostring(found)))
end

-- Makes a value that has accessors visible under its name.
local function put_ambiguous(w, self)
  if self.ambiguous and self.prop and self.name then
    w:put('$rawset(res, $slot, $prop) $rawset(res, $name, nil)',
      { rawset = rawset, slot = '_f' .. self.name, prop = self.prop, name = self.name })
  end
end

local function put_trace(w, self, text)
  if w.variant.trace then
    w:put('$trace(ctx, $node, $text)', { trace = context.trace, node = self, text = text })
  end
end

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
  put_ambiguous(w, self)
  forget_kept(w, self)
  if w.variant.create and self.name then
    w:put('$init(ctx, res, $node)', { init = create.number, node = self })
  end
  if self.checks then
    w.nodes = w.nodes + 1
    put_checks(w, self, w:k(self.prop.get) .. '(res)')
  end
end

local function put_block(w, block)
  for _, self in ipairs(block.fields) do
    if self.kind == 'number' then put_trace(w, self, endian_text(self)) end
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
    w:put('a, c, failed = $scattered(ctx, $block)', { scattered = context.scattered, block = block })
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

local emit, put_steps = {}, nil

-- From here on the place in the byte is in `ctx._bit`.
local function put_bit(w, phase, into)
  if phase and not into then w:put(format('ctx._bit = %d', phase)) end
end

function emit.number(w, self)
  put_trace(w, self, endian_text(self))
  w:put('do')
  w:put(format('local a, c, bit, failed = $bits(ctx, $node, %d)', self.bits),
    { bits = context.dynamic_bits, node = self })
  if self.prop then
    w:put((format("$rawset(res, '_aK', a) $rawset(res, '_cK', c) $rawset(res, '_bK', bit)")
      :gsub('K', self.slot)), { rawset = rawset })
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

-- Bytes and tokens start with a byte.
local function put_aligned(w, self)
  if self.phase == 0 then return end
  if self.phase then put_bit(w, self.phase) end
  w:put("if ctx._bit ~= 0 then return $fail(ctx, $node, 'byte primitive requires aligned bits') end",
    { fail = context.fail, node = self })
end

-- Puts a part of the buffer that was parsed into the result.
local function put_part(w, self)
  if w.variant.create and self.name then
    w:put('part = $init(ctx, res, $node, part)', { init = create.part, node = self })
  end
  if self.checks then
    put_checks(w, self, self.prop and w:k(self.decode) .. '(part)' or generate.shown(w, self))
  end
  if not self.name then return end
  if self.prop then
    w:put('$rawset(res, $slot, part)', { rawset = rawset, slot = '_s' .. self.slot })
    put_ambiguous(w, self)
    forget_kept(w, self)
  else
    w:put('$rawset(res, $name, part)', { rawset = rawset, name = self.name })
  end
end

-- The value of a part that has no name.
function generate.shown(w, self)
  local get = self.converter and self.converter.get
  local value = 'part'
  if self.kind == 'token' and not self.raw then value = 'part:asstring()' end
  if get then return format('%s(%s)', w:k(get), value) end
  return value
end

function emit.token(w, self)
  put_aligned(w, self)
  put_trace(w, self, format('parsing token /%s/', self.pattern))
  w:put('do')
  if w.variant.create and self.name then
    w:put('local part = $make(ctx, $node)', { make = create.token, node = self })
    w:put('if not part then part = $match(ctx, $node) end',
      { match = lib['grammar/bytes'].token, node = self })
  else
    w:put('local part = $match(ctx, $node)', { match = lib['grammar/bytes'].token, node = self })
  end
  w:put('if not part then return true end')
  put_part(w, self)
  w:put('end')
end

function emit.bytes(w, self)
  local bytes = lib['grammar/bytes']
  put_aligned(w, self)
  put_trace(w, self, 'parsing bytes')
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
  put_checks(w, self, 'nil')
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
  put_checks(w, self, 'nil')
end

function emit.error(w, self)
  w:put('do return $fail(ctx, $node, $message) end',
    { fail = context.fail, node = self, message = tostring(self.message or 'failed') })
end

-- Compounds -------------------------------------------------------------------------

-- Whether a record is one block and nothing that could look at it meanwhile.
local function lone_block(body)
  if #body.steps ~= 1 or not body.steps[1].block then return false end
  for _, self in ipairs(body.steps[1].block.fields) do
    if self.checks then return false end
  end
  return true
end

-- A record's bytes are held until it ends.
local function put_record(w, body)
  local readonly = host.passthrough == true
  local first = body.steps[1] and body.steps[1].block
  if first and first.need > 0 then
    first.hold, first.alone, first.readonly = true, lone_block(body), readonly
    put_steps(w, body.steps)
    if first.alone then return end
  elseif #body.steps > 0 then
    w:put(format('$hold(ctx, %s)', tostring(readonly)), { hold = context.hold })
    put_steps(w, body.steps)
  else
    return
  end
  w:put('$release(ctx)', { release = context.release })
end

local function count_nodes(body)
  local count = 0
  for _, step in ipairs(body.steps or {}) do count = count + (step.block and #step.block.fields or 1) end
  return count
end

-- The contents of a compound, with its fields going to `res`.
local put_contents = {}

function put_contents.record(w, _, body) put_record(w, body) end
function put_contents.sequence(w, _, body) put_steps(w, body.steps) end

-- Calls a function that parses `steps` or a body's contents.
local function put_call(w, fn)
  w:put('if $fn(ctx, res) then return true end', { fn = fn })
end

local function put_body(w, self)
  local body = self.body
  if self.recursive then
    w:put('$deeper(ctx)', { deeper = generate.deeper })
    w:put('if $units[$body](ctx, res) then return true end',
      { units = generate.units(w.grammar, w.variant), body = body })
    w:put('ctx._depth = ctx._depth - 1')
    if body.endphase then put_bit(w, body.endphase) end
  elseif body.rule and body.shared or count_nodes(body) + w.nodes > MOST_NODES then
    put_call(w, generate.unit(w.grammar, w.variant, body, self))
  else
    w.nodes = w.nodes + count_nodes(body)
    put_contents[body.kind](w, self, body)
  end
end

local max_recursion = { max_recursion = 10 }
generate.recursion = max_recursion

function generate.deeper(ctx)
  local depth = ctx._depth + 1
  if depth > max_recursion.max_recursion then error('grammar max recursion reached', 0) end
  ctx._depth = depth
end

-- A compound's own result, if it has a name, is the place for its fields.
local function put_compound(w, self)
  put_trace(w, self, self.recursive and 'parsing recursion' or 'parsing ' .. self.kind)
  local own = self.name and self.kind ~= 'branch'
  w:put('do')
  if own then
    w:put('local up = res')
    w:put('local res = ' .. new_result(w, self.class, self.body.prepared, 'up'))
    local slot = self.prop and '_s' .. self.slot or self.name
    w:put('$rawset(up, $slot, res)', { rawset = rawset, slot = slot })
    w:put('ctx._current = res')
    if w.variant.create then
      w:put('local init = ctx.current_init ctx.current_init = $nested(init, $name)',
        { nested = create.nested, name = self.name })
    end
  end
  put_body(w, self)
  if own then
    w:put('ctx._current = up')
    if w.variant.create then w:put('ctx.current_init = init') end
  end
  local value = 'res'
  if self.prop then
    w:put('do local res = up')
    put_ambiguous(w, self)
    w:put('end')
    if self.checks then value = w:k(self.prop.get) .. '(up)' end
  end
  if self.kind == 'branch' and self.name then value = format('res[%s]', w:k(self.name)) end
  put_checks(w, self, value)
  w:put('end')
end
emit.record, emit.sequence, emit.branch = put_compound, put_compound, put_compound
emit.union, emit.try = put_compound, put_compound

function put_contents.union(w, self, body)
  w:put('do')
  w:put('local held = ctx._held')
  w:put(format('local a, c = $hold(ctx, %s)', tostring(host.passthrough == true)),
    { hold = context.hold })
  w:put('local meter, far_a, far_c, far, far_bit = it.meter, it._a, it._c, it.meter, 0')
  put_bit(w, self.phase)
  w:put('local bit = ctx._bit far_bit = bit')
  for _, case in ipairs(body.cases) do
    w:put('it._a, it._c, it.meter = a, c, meter')
    if not self.phase then w:put('ctx._bit = bit') end
    put_steps(w, case.steps)
    put_bit(w, case.node.endphase)
    w:put('if it.meter > far or it.meter == far and ctx._bit > far_bit then')
    w:put('far_a, far_c, far, far_bit = it._a, it._c, it.meter, ctx._bit')
    w:put('end')
  end
  w:put('it._a, it._c, it.meter, ctx._bit = far_a, far_c, far, far_bit')
  w:put('$release(ctx, held)', { release = context.release_to })
  w:put('end')
end

-- Each case is a function of its own, with a result of its own until it is
-- known to be right.
function put_contents.try(w, self, body)
  w:put('do')
  w:put('local held = ctx._held')
  w:put('local a, c = $hold(ctx, false)', { hold = context.hold })
  w:put('local meter, depth, init = it.meter, ctx._depth, ctx.current_init')
  put_bit(w, self.phase)
  w:put('local bit, done = ctx._bit, false')
  for _, case in ipairs(body.cases) do
    w:put('if not done then')
    w:put('local case = ' .. new_result(w, nil, generate.scope(w.grammar, case), 'res'))
    w:put('ctx._current = case')
    w:put('if $fn(ctx, case) then', {
      fn = generate.unit_of_steps(w.grammar, w.variant, case, body.endphase == nil) })
    w:put('$caught(ctx, a, c, meter, held + 1, bit, res)', { caught = context.caught })
    w:put('ctx._depth, ctx.current_init = depth, init')
    w:put('else')
    w:put('$adopt(res, case)', { adopt = results.adopt })
    w:put('ctx._current, done = res, true')
    w:put('end')
    w:put('end')
  end
  w:put("if not done then return $fail(ctx, $node, 'cannot find a successful try case') end",
    { fail = context.fail, node = self.failure })
  w:put('$release(ctx, held)', { release = context.release_to })
  w:put('end')
end

function put_contents.branch(w, self, body)
  local cases, default, first = {}, nil, nil
  for key, case in next, body.cases do
    local fn = generate.unit_of_steps(w.grammar, w.variant, case, body.endphase == nil)
    if key == 'default' then default = fn else cases[key] = fn end
    first = first or fn
  end
  w:put('do')
  w:put('ctx._node = $node', { node = self })
  w:put('local key = $fn(res, ctx)', { fn = body.selector })
  w:put(STOP_ON_ERROR)
  if w.variant.trace then
    w:put("$trace(ctx, $node, 'select branch \\'' .. $text(key) .. '\\'')",
      { trace = context.trace, node = self, text = tostring })
  end
  if body.strict then
    w:put('if key == true then')
    w:put('if $fn(ctx, res) then return true end', { fn = cases[true] })
  else
    w:put('local case')
    w:put('if key ~= nil then case = $cases[key] end', { cases = cases })
    w:put('if case then')
    w:put('if case(ctx, res) then return true end')
  end
  w:put('else')
  if default then
    w:put('if $fn(ctx, res) then return true end', { fn = default })
  elseif body.skips then
    if body.endphase == nil then put_bit(w, self.phase) end
  else
    w:put("return $fail(ctx, $node, 'invalid case')", { fail = context.fail, node = self.failure })
  end
  w:put('end')
  w:put('end')
end

-- The number that a count function gave.
function generate.count(value)
  local number = tonumber(value)
  if not number then error(format('array count must be a number, got %s', type(value)), 0) end
  return number
end

-- Arrays: `self` is one whose result is `arr`; callbacks get what encloses it.
local function put_elements(w, self)
  local body = self.body
  local element = body.element
  local scope = generate.scope(w.grammar, element)
  if self.phase and not body.start then put_bit(w, self.phase) end
  w:put('local n, last = 0, nil')
  if w.variant.create then w:put('local inits = ctx.current_init') end
  w:put('while true do')
  w:put('ctx._node = $node', { node = self })
  if body.length then
    if type(body.length) == 'function' then
      w:put('local count = $fn(res, ctx)', { fn = body.length })
      w:put(STOP_ON_ERROR)
    else
      w:put('local count = ' .. w:literal(body.length))
    end
    w:put('if n >= $number(count) then break end', { number = generate.count })
  end
  if body.stop then
    w:put('if $fn(last, ctx) then break end', { fn = body.stop })
    w:put(STOP_ON_ERROR)
  end
  if body.go then
    w:put('if not $fn(last, ctx) then break end', { fn = body.go })
    w:put(STOP_ON_ERROR)
  end
  w:put('n = n + 1')
  if w.variant.trace then put_trace(w, self, 'append array element') end
  w:put('local a, c = $here(ctx)', { here = context.here })
  local cls = element.class
  w:put('local new = ' .. new_result(w, cls, scope, 'arr'))
  w:put('ctx._current = new')
  if w.variant.create then
    w:put('ctx.current_init = $nested(inits, n)', { nested = create.nested })
  end
  w:put('if $fn(ctx, new) then return true end',
    { fn = generate.unit_of_steps(w.grammar, w.variant, element, body.start == nil) })
  w:put("$rawset(new, '_sub', $part(ctx, a, c))", { rawset = rawset, part = context.part })
  w:put('$rawset(arr, n, new)', { rawset = rawset })
  w:put('last = new')
  w:put('end')
  if w.variant.create then w:put('ctx.current_init = inits') end
end

function emit.array(w, self)
  put_trace(w, self, 'parsing array')
  w:put('do')
  w:put('local arr = ' .. new_array(w, self, 'res'))
  if self.name then
    w:put('$rawset(res, $slot, arr)',
      { rawset = rawset, slot = self.prop and '_s' .. self.slot or self.name })
    put_ambiguous(w, self)
  end
  if w.variant.create then
    w:put('local init = ctx.current_init')
    if self.name then
      w:put('ctx.current_init = $nested(init, $name)', { nested = create.nested, name = self.name })
    end
  end
  put_elements(w, self)
  w:put('ctx._current = res')
  if w.variant.create then w:put('ctx.current_init = init') end
  if self.checks then
    put_checks(w, self, self.prop and w:k(self.prop.get) .. '(res)' or 'arr')
  end
  w:put('end')
end

function put_steps(w, steps)
  for _, step in ipairs(steps) do
    if step.block then
      w.nodes = w.nodes + 1
      put_block(w, step.block)
    else
      w.nodes = w.nodes + 1
      emit[step.node.kind](w, step.node)
    end
  end
end

-- Functions -------------------------------------------------------------------------

-- The element of an array as an entry point of its own.
function generate.element(grammar, body)
  local element = body.element
  local self = element.node
  generate.entries[self] = generate.entries[self] or {
    grammar = grammar,
    entry = { node = self, steps = element.steps, class = self.class },
  }
  return self
end

-- What compiled nodes can parse: `{ grammar =, entry = }` by node. Rules see
-- nodes, and must not get at the functions' constants.
generate.entries = setmetatable({}, { __mode = 'k' })

-- The functions of one variant, by body or steps.
function generate.units(grammar, variant)
  return grammar.units[variant.key]
end

-- The function for a compound's contents.
function generate.unit(grammar, variant, body, self)
  local units = generate.units(grammar, variant)
  local known = units[body]
  if known then return known end
  local w = new_writer(grammar, variant)
  put_contents[body.kind](w, self, body)
  local fn = w:load(body.rule or grammar.name)
  units[body] = fn
  return fn
end

-- A function that is being written, for its own use.
local function later(units, owner)
  return function (ctx, res)
    generate.deeper(ctx)
    if units[owner](ctx, res) then return true end
    ctx._depth = ctx._depth - 1
  end
end

-- The function for a case or an element. `dynamic`: it ends with its place in
-- the byte told.
function generate.unit_of_steps(grammar, variant, owner, dynamic)
  local units = generate.units(grammar, variant)
  local known = units[owner]
  if known then return known end
  if known == false then return later(units, owner) end
  units[owner] = false
  local w = new_writer(grammar, variant)
  put_steps(w, owner.steps)
  if dynamic then put_bit(w, owner.node.endphase) end
  local fn = w:load(grammar.name)
  units[owner] = fn
  return fn
end

-- Entry points ----------------------------------------------------------------------

-- An entry that is a compound without name is its own result.
local function put_entry(w, self, entry)
  if self.body and self.kind == 'array' and not self.name then
    w:put('local arr = res')
    put_elements(w, self)
    w:put('ctx._current = res')
    put_checks(w, self, 'res')
    return
  end
  put_steps(w, entry.steps)
end

-- The function that parses an entry point.
function generate.entry(grammar, variant, entry)
  local units = generate.units(grammar, variant)
  if not units[entry] then
    local w = new_writer(grammar, variant)
    put_entry(w, entry.node, entry)
    units[entry] = w:load(grammar.name)
  end
  return units[entry]
end

-- What only the result of an entry point has.
local function top_slots(w)
  return format('validate = %s, _user = user', w:k(results.validate))
end

-- The function that makes an entry's result, from a context.
function generate.top(grammar, entry)
  local self = entry.node
  local w = new_writer(grammar, { key = 0 })
  w:put('local user, res = ctx.user, nil')
  local plain = self.name or not self.class or self.class == Result
  if self.kind == 'array' and not self.name then
    generate.scope(grammar, self.body.element)
    w:put('res = ' .. new_array(w, self, nil))
    plain = false
  else
    w:put('res = ' .. new_result(w, not self.name and self.class or nil,
      generate.scope(grammar, entry), nil, top_slots(w)))
  end
  if not plain then
    w:put("$rawset(res, 'validate', $validate)", { rawset = rawset, validate = results.validate })
    w:put("$rawset(res, '_user', user)", { rawset = rawset })
  end
  w:put('return res')
  return w:load(grammar.name)
end

-- A record of nothing but a block, with bytes that lie together, is parsed
-- without a context: `(iter, user) -> result`, or nil when that cannot be.
function generate.direct(grammar, entry)
  local self = entry.node
  local body = self.body
  if not body or body.kind ~= 'record' and body.kind ~= 'sequence' or self.name or self.checks
    or self.class and self.class ~= Result or grammar.validated or not lone_block(body) then
    return false
  end
  local block = body.steps[1].block
  for _, member in ipairs(block.fields) do
    if member.ambiguous then return false end
  end
  if block.need == 0 then return false end
  local w = new_writer(grammar, { key = 0 })
  local scope = generate.scope(grammar, entry)
  local slots = { format('__property = %s', w:k(scope.properties)), '_v = it._v', top_slots(w) }
  if block.stored then slots[#slots + 1] = format('_a%s = a, _c%s = c', block.key, block.key) end
  w:put(format('if $step($store, it._a, it._c, %d, $out) ~= %d then return nil end',
    block.need, block.need), { step = api.advance_within, store = store, out = out })
  w:put('local a, c = $out.a, $out.c', { out = out })
  if block.take == block.need then
    w:put('it._a, it._c = $out.a2, $out.c2', { out = out })
  else
    w:put(format('it._a, it._c = a, c + %d', block.take * 8))
  end
  w:put(format('it.meter = %d', block.take))
  w:put(format('return $setmetatable({ %s }, $result)', concat(slots, ', ')),
    { setmetatable = setmetatable, result = Result })
  return w:load(grammar.name, 'it, user')
end

return generate
