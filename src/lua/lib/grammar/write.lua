-- Writing generated code: lines, their constants, and the pieces that all
-- kinds of nodes share.

local _, lib = ...

local results, context = lib['grammar/result'], lib['grammar/context']
local pairs, ipairs, type, tostring, error, load, rawset, setmetatable =
  pairs, ipairs, type, tostring, error, load, rawset, setmetatable
local concat, format, gsub = table.concat, string.format, string.gsub
local Result = results.Result

-- Constants beyond this are reached through their table: a function has room
-- for 60 upvalues.
local MOST_UPVALUES = 45

local write = {}

local Writer = {}
Writer.__index = Writer

function write.new(grammar, variant)
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
    line = gsub(line, '%$(%a+)', function (name)
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
function write.new_result(w, cls, scope, parent, top)
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

-- Checks ----------------------------------------------------------------------------

local STOP_ON_ERROR = 'if ctx._error then return true end'
write.STOP_ON_ERROR = STOP_ON_ERROR

local function wrong_value(ctx, self, wanted, found)
  return context.fail(ctx, self, format("incorrect value, expected '%s' got '%s'",
    tostring(wanted), tostring(found)))
end

-- `value` is an expression; what reads it runs right after parsing.
function write.checks(w, self, value)
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
        { wrong = wrong_value, node = self })
    end
  end
  w:put('end')
end


-- Makes a value that has accessors visible under its name.
function write.ambiguous(w, self)
  if self.ambiguous and self.prop and self.name then
    w:put('$rawset(res, $slot, $prop) $rawset(res, $name, nil)',
      { rawset = rawset, slot = '_f' .. self.name, prop = self.prop, name = self.name })
  end
end

function write.trace(w, self, text)
  if w.variant.trace then
    w:put('$trace(ctx, $node, $text)', { trace = context.trace, node = self, text = text })
  end
end

return write
