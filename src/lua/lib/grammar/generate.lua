-- The compiler: writes Lua for the nodes of a grammar.
--
-- Each rule's contents become one function `(ctx, res) -> failed` without
-- loops over nodes: what is known is in place as constants, so that LuaJIT
-- traces a parse as straight code. A block of fixed size is one native step,
-- whatever the number of its fields. There are up to four variants of a
-- function, with and without creation and debug lines, made when needed.

local host, lib = ...

local api, store, out = host.buf_api, host.store, lib.bufobject.out
local results, scopes = lib['grammar/result'], lib['grammar/scope']
local write, primitive = lib['grammar/write'], lib['grammar/primitive']
local context, create = lib['grammar/context'], lib['grammar/create']
local ipairs, next, type, tonumber, tostring, error, rawset, setmetatable =
  ipairs, next, type, tonumber, tostring, error, rawset, setmetatable
local concat, format = table.concat, string.format
local Result, ArrayResult = results.Result, results.ArrayResult
local new_writer, new_result, STOP_ON_ERROR = write.new, write.new_result, write.STOP_ON_ERROR
local put_checks, put_ambiguous, put_trace = write.checks, write.ambiguous, write.trace
local put_block, put_bit, emit = primitive.block, primitive.bit, primitive.emit

local generate = {}

-- Nodes in one function; contents beyond this get one of their own.
local MOST_NODES = 40

local put_steps

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
  for _, step in ipairs(body.steps or {}) do
    count = count + (step.block and #step.block.fields or 1)
  end
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
    w:put('local case = ' .. new_result(w, nil, scopes.of(w.grammar, case), 'res'))
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
  local scope = scopes.of(w.grammar, element)
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
    scopes.of(grammar, self.body.element)
    w:put('res = ' .. new_array(w, self, nil))
    plain = false
  else
    w:put('res = ' .. new_result(w, not self.name and self.class or nil,
      scopes.of(grammar, entry), nil, top_slots(w)))
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
  local scope = scopes.of(grammar, entry)
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
