-- Entities: what a grammar is written with, before it is compiled.
--
-- Each word gives an entity; each option gives a changed copy, so that an
-- entity may be used in many places. Only `extra` changes its record itself.
-- What an option cannot mean for an entity is refused where it is written.

local _, lib = ...

local pairs, ipairs, type, tostring, setmetatable, getmetatable =
  pairs, ipairs, type, tostring, setmetatable, getmetatable
local format, floor, next = string.format, math.floor, next
local new_class, isa, isclass = lib.class.class, lib.class.isa, lib.class.isclass
local refuse = lib['grammar/place'].refuse
local converter = lib['grammar/converter']
local log = lib.log.of('grammar')

local entity = {}

local Entity = new_class('Entity')
entity.Entity = Entity

local function copy(self)
  local new = {}
  for key, value in next, self do new[key] = value end
  return setmetatable(new, getmetatable(self))
end
entity.copy = copy

function entity.is(value)
  return isa(value, Entity)
end

local function callable(value, what)
  if type(value) == 'function' then return end
  local meta = getmetatable(value)
  if type(meta) == 'table' and meta.__call then return end
  refuse(format('invalid parameter, %s expects a function', what))
end

-- Options of every entity -------------------------------------------------------

function Entity.method:convert(conv, memoize)
  if type(conv) ~= 'table' then refuse('invalid parameter 1, expected a converter') end
  local new = copy(self)
  new.converter = conv
  if memoize then new.memo = true end
  return new
end

function Entity.method:memoize()
  local new = copy(self)
  new.memo = true
  return new
end

function Entity.method:validate(fn)
  callable(fn, 'validate')
  local new = copy(self)
  new.validator = fn
  return new
end

local function add_check(self, check)
  local new = copy(self)
  new.checks = {}
  for i, other in ipairs(self.checks or {}) do new.checks[i] = other end
  new.checks[#new.checks + 1] = check
  return new
end

function Entity.method:apply(fn)
  callable(fn, 'apply')
  return add_check(self, { apply = fn })
end

function Entity.method:const(value)
  if value == nil then refuse('invalid parameter 1, expected a value or a function') end
  if type(value) == 'function' then return add_check(self, { expect = value }) end
  return add_check(self, { value = value, constant = true })
end

local function unsupported(name)
  return function (self)
    refuse(format("option '%s' is not supported by %s", name, self.kind or 'this entity'))
  end
end

for _, name in ipairs { 'result', 'extra', 'count', 'untilcond', 'whilecond', 'creation',
  'untiltoken', 'chunked' } do
  Entity.method[name] = unsupported(name)
end

local function define(name, kind, parent)
  local cls = new_class(name, parent or Entity)
  cls.method.kind = kind
  entity[name] = cls
  return cls
end

-- A rule of the grammar by its name: which one is decided when the grammar is
-- compiled, so that a deriving grammar may replace it.
local Reference = define('Reference', 'reference')

function Reference.method:__init(rule)
  self.target = rule
end

-- Options that only some targets have are checked when the rule is known.
for _, name in ipairs { 'result', 'count', 'untilcond', 'whilecond', 'creation', 'untiltoken',
  'chunked' } do
  Reference.method[name] = function (self, ...)
    local new = copy(self)
    new.later = {}
    for i, option in ipairs(self.later or {}) do new.later[i] = option end
    new.later[#new.later + 1] = { name, ... }
    return new
  end
end

-- Values ------------------------------------------------------------------------

local Number = define('Number', 'number')

local function whole(value, least, most, message)
  if type(value) ~= 'number' or value ~= floor(value) or value < least or value > most then
    refuse(message)
  end
end

function Number.method:__init(bits, endian)
  whole(bits, 1, 64, 'invalid parameter 1, a number has from 1 to 64 bits')
  self.bits, self.little = bits, endian ~= nil and endian ~= 'big'
end

local Bits = define('Bits', 'bits')

function Bits.method:__init(bits)
  if type(bits) ~= 'function' then
    whole(bits, 0, 2 ^ 32, 'invalid parameter 1, expected a number of bits or a function')
  end
  self.bits = bits
end

local Align = define('Align', 'align')

function Align.method:__init(bits)
  whole(bits, 1, 2 ^ 32, 'invalid parameter 1, expected a number of bits')
  self.bits = bits
end

local Bytes = define('Bytes', 'bytes')

local function number_or_function(value)
  if type(value) ~= 'function' and type(value) ~= 'number' then
    refuse('invalid parameter 1, expected number or function')
  end
end

function Bytes.method:count(value)
  number_or_function(value)
  if self.delimiter then refuse("bytes can't have both count and untiltoken") end
  local new = copy(self)
  new.length = value
  return new
end

function Bytes.method:untiltoken(pattern)
  if type(pattern) ~= 'string' then refuse('invalid parameter 1, expected string') end
  if self.length then refuse("bytes can't have both count and untiltoken") end
  local new = copy(self)
  new.delimiter = pattern
  return new
end

function Bytes.method:chunked(fn)
  callable(fn, 'chunked')
  local new = copy(self)
  new.chunk = fn
  return new
end

local Token = define('Token', 'token')

function Token.method:__init(pattern, raw)
  if type(pattern) ~= 'string' then refuse('invalid parameter 1, expected string') end
  self.pattern, self.raw = pattern, raw == true
end

-- Compounds ---------------------------------------------------------------------

local Compound = define('Compound', 'compound')

function Compound.method:result(cls)
  if not isclass(cls) then refuse('invalid parameter 1, expected class') end
  local new = copy(self)
  new.class = cls
  return new
end

local function entities(list, what)
  if type(list) ~= 'table' or entity.is(list) then
    refuse(format('%s expects a table of entities', what))
  end
  local members = {}
  for key in pairs(list) do
    if type(key) ~= 'number' then
      refuse(format("unexpected key '%s' in %s", tostring(key), what))
    end
    -- A hole is a rule that was misspelt or not yet declared.
    if key > #list or key < 1 then
      refuse(format('%s has no entity at place %d', what, #list + 1))
    end
  end
  for i, member in ipairs(list) do
    if not entity.is(member) then
      refuse(format('%s expects an entity at place %d, got %s', what, i, type(member)))
    end
    members[i] = member
  end
  return members
end

local Record = define('Record', 'record', Compound)

function Record.method:__init(list)
  self.members = entities(list, 'record')
end

-- Changes the record itself.
function Record.method:extra(functions)
  if type(functions) ~= 'table' then refuse('invalid parameter 1, expected table') end
  local extras = self.extras or {}
  for name, value in pairs(functions) do
    if type(name) ~= 'string' then refuse('record extra need to be named') end
    if type(value) == 'function' then value = { get = value } end
    if type(value) ~= 'table' then refuse(format("invalid record extra '%s'", name)) end
    extras[name] = { get = value.get, set = value.set }
  end
  self.extras = extras
  return self
end

local Sequence = define('Sequence', 'sequence', Compound)

function Sequence.method:__init(list)
  self.members = entities(list, 'sequence')
  for _, member in ipairs(self.members) do
    if member.name then
      log.warning("named element '%s' are not supported in sequence", member.name)
    end
  end
end

local Union = define('Union', 'union', Compound)

function Union.method:__init(list)
  self.members = entities(list, 'union')
end

local Try = define('Try', 'try', Compound)

function Try.method:__init(list)
  self.members = entities(list, 'try')
  if #self.members == 0 then
    refuse('cannot create a try element without any case')
  end
end

local Branch = define('Branch', 'branch', Compound)

function Branch.method:__init(cases, selector, strict)
  if type(cases) ~= 'table' or entity.is(cases) then
    refuse('branch expects a table of cases')
  end
  callable(selector, 'branch')
  self.cases, self.selector, self.strict = {}, selector, strict == true
  for key, case in pairs(cases) do
    if not entity.is(case) and not (key == 'default' and case == 'continue') then
      refuse(format("branch case '%s' expects an entity", tostring(key)))
    end
    self.cases[key] = case
  end
end

local Array = define('Array', 'array', Compound)

function Array.method:__init(element)
  if not entity.is(element) then refuse('array expects an entity') end
  self.element = element
end

function Array.method:count(value)
  number_or_function(value)
  local new = copy(self)
  new.length = value
  return new
end

function Array.method:untilcond(fn)
  callable(fn, 'untilcond')
  local new = copy(self)
  new.stop = fn
  return new
end

function Array.method:whilecond(fn)
  callable(fn, 'whilecond')
  local new = copy(self)
  new.go = fn
  return new
end

function Array.method:creation(fn)
  callable(fn, 'creation')
  local new = copy(self)
  new.maker = fn
  return new
end

-- Actions -----------------------------------------------------------------------

local Execute = define('Execute', 'execute')

function Execute.method:__init(fn)
  callable(fn, 'execute')
  self.fn = fn
end

local Verify = define('Verify', 'verify')

function Verify.method:__init(fn, message)
  callable(fn, 'verify')
  self.fn, self.message = fn, message
end

local Retain = define('Retain', 'retain')

function Retain.method:__init(readonly)
  self.readonly = readonly == true
end

define('Release', 'release')
define('Empty', 'empty')

local Error = define('Error', 'error')

function Error.method:__init(message)
  self.message = message
end

-- Words -------------------------------------------------------------------------

local words = {}
entity.words = words

function words.number(bits, endian)
  local new = Number:new(bits, endian)
  return new
end

words.flag = Number:new(1):convert(converter.bool)

function words.bytes()
  return Bytes:new()
end

words.text = Bytes:new():convert(converter.string)

function words.token(pattern)
  local new = Token:new(pattern)
  return new
end

function words.raw_token(pattern)
  local new = Token:new(pattern, true)
  return new
end

function words.align(bits)
  local new = Align:new(bits)
  return new
end

function words.field(name, of)
  if type(name) ~= 'string' then refuse('invalid parameter 1, expected string') end
  if not entity.is(of) then
    refuse(format("field '%s' expects an entity, got %s", name, type(of)))
  end
  local new = copy(of)
  new.name = name
  return new
end

for word, cls in pairs { record = Record, sequence = Sequence, union = Union, try = Try,
  array = Array, execute = Execute, verify = Verify } do
  words[word] = function (...)
    local new = cls:new(...)
    return new
  end
end

function words.branch(cases, selector)
  local new = Branch:new(cases, selector)
  return new
end

function words.optional(of, present)
  if not entity.is(of) then refuse('optional expects an entity') end
  local new = Branch:new({ [true] = of, default = 'continue' }, present, true)
  return new
end

function words.empty()
  return entity.Empty:new()
end

function words.fail(message)
  return Error:new(message)
end

words.converter = converter
for _, name in ipairs { 'Entity', 'Compound', 'Record', 'Sequence', 'Union', 'Try', 'Branch',
  'Array', 'Number', 'Bytes', 'Bits', 'Token', 'Execute', 'Retain', 'Release', 'Empty', 'Error' } do
  words[name] = entity[name]
end

return entity
