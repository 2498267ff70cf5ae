-- Results: what parsing gives to rules.
--
-- A result is a small table. The bytes of a field are found by numbers that
-- stand beside it (`_a1`, `_c1`: where block 1 of its record starts), and the
-- functions that decode them are in a table shared by all results of a
-- record, made when the grammar is compiled. So a parse costs one table,
-- whatever the number of fields, and a field costs what is read of it.

local _, lib = ...

local next, rawget, rawset, type, error = next, rawget, rawset, type, error
local remove, insert = table.remove, table.insert
local class = lib.class
local new_class = class.class
local PROPERTIES, properties_of = class.property_field, class.properties_of

local result = {}

local Result = new_class('Result')
result.Result = Result

-- Calls the pending validators of a parse, each once. After a merge `self` is
-- the dissector that the top result's fields went to.
local function validate(self)
  local pending = rawget(self, '_validate')
  if not pending then return end
  local fn, of = next(pending)
  while fn do
    pending[fn] = nil
    if rawget(of, '_parent') == nil then of = self end
    fn(of)
    fn, of = next(pending)
  end
end
result.validate = validate

Result.method.validate = validate

-- Makes the instance of a class of the rule's, with the fields of the record.
function result.instance(cls, properties, owner, parent, pending)
  local self = cls:new()
  local own = rawget(self, PROPERTIES)
  if own == nil then
    rawset(self, PROPERTIES, properties)
  else
    own = properties_of(self)
    for name, property in next, properties do own[name] = property end
  end
  rawset(self, '_v', owner)
  if parent ~= nil then rawset(self, '_parent', parent) end
  if pending ~= nil then rawset(self, '_validate', pending) end
  return self
end

-- Takes over the fields of a try's case that succeeded.
local KEPT = { [PROPERTIES] = true, _parent = true, _v = true, _validate = true, _user = true,
  validate = true }

function result.adopt(self, from)
  for key, value in next, from do
    if not KEPT[key] and value ~= false then rawset(self, key, value) end
  end
end

-- Arrays ----------------------------------------------------------------------

local ArrayResult = new_class('ArrayResult', Result)
result.ArrayResult = ArrayResult

-- Where the array starts, what its elements are and who makes new ones.
function ArrayResult.method:_init(iter, entity, create)
  rawset(self, '_begin', iter)
  rawset(self, '_entity', entity)
  rawset(self, '_create', create)
end

-- Makes the instance of a class of the rule's for an array.
function result.array(cls, iter, entity, create, parent, pending)
  local self = cls:new()
  if parent ~= nil then rawset(self, '_parent', parent) end
  if pending ~= nil then rawset(self, '_validate', pending) end
  if class.find_method(self, '_init') then self:_init(iter:copy(), entity, create) end
  return self
end

local function index_of(self, element)
  if type(element) == 'number' then return element end
  for i = 1, #self do
    if rawget(self, i) == element then return i end
  end
end

-- The last element leaves an empty part behind, to mark where the array is.
function ArrayResult.method:remove(element)
  local index = index_of(self, element)
  local found = index and rawget(self, index)
  if found == nil then return end
  local bytes = rawget(found, '_sub')
  if #self == 1 then
    bytes:replace(lib.vbuffer.vbuffer_allocate(0))
    rawset(self, '_begin', bytes:pos('begin'))
  else
    bytes:erase()
  end
  remove(self, index)
end

function ArrayResult.method:append(init)
  local create = rawget(self, '_create')
  if not create then error('missing create function in array options', 0) end
  local bytes, element = create(rawget(self, '_entity'), init)
  local last = rawget(self, #self)
  local at
  if last then
    at = rawget(last, '_sub'):pos('end')
  else
    at = rawget(self, '_begin'):copy()
  end
  local part = at:insert(bytes)
  if element == nil then element = Result:new() end
  rawset(element, '_sub', part)
  rawset(element, '_parent', self)
  rawset(element, '_v', at._v)
  insert(self, element)
end

return result
