-- Policy criteria: the built-in ones, own ones by subclassing, learning.
--
-- Making a subclass of `haka.policy.Criterion` publishes its constructor as
-- `haka.policy.‹class name›`.

local _, lib = ...

local type, pairs, getmetatable, format = type, pairs, getmetatable, string.format
local new_class, isa, isclass = lib.class.class, lib.class.isa, lib.class.isclass
local isaclass, check_assert, check_error = lib.class.isaclass, lib.check.assert, lib.check.error
local find_method = lib.class.find_method

-- The table that becomes `haka.policy`; policy.lua completes it.
local policy = {}

-- Names that policy.lua will use.
local RESERVED = {}
for _, name in pairs{ 'new', 'learn', 'learning', 'accept', 'drop', 'alert', 'log', 'Policy' } do
  RESERVED[name] = true
end

-- Published constructor -> criterion class.
local constructors = {}

local Criterion = new_class('Criterion')
policy.Criterion = Criterion

function Criterion.method:init()
end

function Criterion.method:compare()
  check_error('not implemented')
end

function Criterion:__class_init(cls)
  local name = cls.name
  check_assert(not RESERVED[name] and policy[name] == nil,
    'reserved name or already existing policy criterion', 1)
  local function constructor(...)
    local criterion = cls:new()
    criterion:init(...)
    return criterion
  end
  constructors[constructor] = cls
  policy[name] = constructor
end

local Value = new_class('value', Criterion)

function Value.method:init(value)
  self.expected = value
end

function Value.method:compare(value)
  return value ~= nil and value == self.expected
end

-- Numbers, strings and booleans are looked up; anything else is compared
-- with ==, since two objects may stand for the same address.
local Set = new_class('set', Criterion)

local PLAIN = { number = true, string = true, boolean = true }

function Set.method:init(values)
  self.plain, self.others = {}, {}
  if self.learnable then return end
  check_assert(type(values) == 'table', 'invalid set', 1)
  for _, value in pairs(values) do self:learn(value) end
end

function Set.method:compare(value)
  if value == nil then return false end
  if self.plain[value] then return true end
  local others = self.others
  for i = 1, #others do
    if others[i] == value then return true end
  end
  return false
end

function Set.method:learn(value)
  if value == nil or self:compare(value) then return end
  if PLAIN[type(value)] then
    self.plain[value] = true
  else
    self.others[#self.others + 1] = value
  end
end

local Range = new_class('range', Criterion)

-- Raised at the line that calls the constructor.
local function set_bounds(self, min, max)
  check_assert(min ~= nil, 'invalid min', 2)
  check_assert(max ~= nil, 'invalid max', 2)
  check_assert(not (min > max), 'invalid bounds', 2)
  self.min, self.max = min, max
end

function Range.method:init(min, max)
  if self.learnable then return end
  set_bounds(self, min, max)
end

-- A range that has learnt nothing holds for nothing.
function Range.method:compare(value)
  if value == nil or self.min == nil then return false end
  return self.min <= value and value <= self.max
end

function Range.method:learn(value)
  if value == nil then return end
  if self.min == nil or value < self.min then self.min = value end
  if self.max == nil or value > self.max then self.max = value end
end

local OutOfRange = new_class('outofrange', Criterion)

function OutOfRange.method:init(min, max)
  set_bounds(self, min, max)
end

function OutOfRange.method:compare(value)
  if value == nil then return false end
  return value < self.min or value > self.max
end

local Present = new_class('present', Criterion)

function Present.method:compare(value)
  return value ~= nil
end

local Absent = new_class('absent', Criterion)

function Absent.method:compare(value)
  return value == nil
end

-- A criterion that is filled while `haka.policy.learning` is true, from a
-- constructor that was not called.
function policy.learn(constructor)
  local cls = constructor ~= nil and constructors[constructor]
  if isclass(constructor) and isaclass(constructor, Criterion) then cls = constructor end
  if not cls then check_error('can only learn on haka.policy.Criterion') end
  local criterion = cls:new()
  if not find_method(criterion, 'learn') then
    check_error(format('cannot learn on haka.policy.%s criterion', cls.name))
  end
  criterion.learnable = true
  criterion:init()
  return criterion
end

-- The criterion that a value of a policy entry stands for, or nil and the
-- error's text for one that could never match.
local function of(value)
  if isa(value, Criterion) then return value end
  local cls = constructors[value]
  if cls then return nil, format('haka.policy.%s must be called', cls.name) end
  if type(value) == 'table' and getmetatable(value) == nil then
    return nil, 'a table never matches, use haka.policy.set'
  end
  return policy.value(value)
end

return { policy = policy, of = of }
