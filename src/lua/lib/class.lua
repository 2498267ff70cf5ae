-- Classes: single inheritance, methods, computed properties, statics.
--
-- A class object is the metatable of its instances. What an instance can
-- answer is kept flattened per class ("shape") and refreshed for the class
-- and its descendants whenever a member is added, so that a lookup is one
-- table access and later additions are still seen.
-- Metamethods other than __index, __newindex and __tostring are the class
-- object's own raw fields and are therefore not inherited.

local next, rawget, rawset = next, rawget, rawset
local setmetatable, getmetatable, error = setmetatable, getmetatable, error
local format = string.format

local class = {}

-- Per-instance properties live in this raw field of the instance; a clone
-- shares it with its original.
local PROPERTIES = '__property'

-- class object -> its members. Classes live as long as the Lua state.
local shapes = {}

local ClassMeta = {}

function ClassMeta.__index(cls, key)
  local at = shapes[cls].super
  while at do
    local value = rawget(at, key)
    if value ~= nil then return value end
    at = shapes[at].super
  end
end

function ClassMeta.__tostring(cls)
  return format('<class: %s>', cls.name)
end

-- The nearest class decides: its method, else its property getter. A
-- property without getter hides nothing, nor does a method hide a setter.
local function resolve(cls, key)
  local shape = shapes[cls]
  local method, get, set
  local at, found = cls, false
  while at do
    local members = shapes[at]
    local property = members.own_properties[key]
    if not found then
      method = members.own_methods[key]
      if method == nil and property then get = property.get end
      found = method ~= nil or get ~= nil
    end
    if set == nil and property then set = property.set end
    at = members.super
  end
  shape.methods[key], shape.getters[key], shape.setters[key] = method, get, set
end

local function refresh(cls, key)
  resolve(cls, key)
  local children = shapes[cls].children
  for i = 1, #children do refresh(children[i], key) end
end

-- The table behind `C.method` and `C.property`: always empty itself, so
-- that every assignment is seen; reads search the hierarchy.
local function member_table(cls, kind)
  return setmetatable({}, {
    __index = function (_, key)
      local at = cls
      while at do
        local value = shapes[at][kind][key]
        if value ~= nil then return value end
        at = shapes[at].super
      end
    end,
    __newindex = function (_, key, value)
      shapes[cls][kind][key] = value
      refresh(cls, key)
    end,
    __pairs = function () return next, shapes[cls][kind], nil end,
  })
end

-- The fallbacks are tail calls on purpose: an error raised at level 2 then
-- points at the code that touched the field.
local function install_metamethods(cls, shape)
  local methods, getters, setters = shape.methods, shape.getters, shape.setters

  cls.__index = function (self, key)
    local own = rawget(self, PROPERTIES)
    if own then
      local property = own[key]
      if property and property.get then return property.get(self) end
    end
    local method = methods[key]
    if method ~= nil then return method end
    local get = getters[key]
    if get then return get(self) end
    local fallback = methods.__index
    if fallback then return fallback(self, key) end
  end

  cls.__newindex = function (self, key, value)
    local own = rawget(self, PROPERTIES)
    if own then
      local property = own[key]
      if property and property.set then return property.set(self, value) end
    end
    local set = setters[key]
    if set then return set(self, value) end
    local fallback = methods.__newindex
    if fallback then return fallback(self, key, value) end
    rawset(self, key, value)
  end

  cls.__tostring = function (self)
    local text = methods.__tostring
    if text then return text(self) end
    return format('<class instance %s: %s>', cls.name, format('%p', self))
  end
end

local function create(name, super)
  local shape = {
    super = super, children = {},
    own_methods = {}, own_properties = {},
    methods = {}, getters = {}, setters = {},
  }
  if super then
    local inherited = shapes[super]
    for key, value in next, inherited.methods do shape.methods[key] = value end
    for key, value in next, inherited.getters do shape.getters[key] = value end
    for key, value in next, inherited.setters do shape.setters[key] = value end
  end
  local cls = { name = name, super = super }
  shapes[cls] = shape
  if super then
    local siblings = shapes[super].children
    siblings[#siblings + 1] = cls
  end
  cls.method = member_table(cls, 'own_methods')
  cls.property = member_table(cls, 'own_properties')
  install_metamethods(cls, shape)
  return setmetatable(cls, ClassMeta)
end

local BaseObject = create('BaseObject')

function class.new_instance(cls, ...)
  local object = setmetatable({}, cls)
  shapes[cls].methods.__init(object, ...)
  return object
end

BaseObject.new = class.new_instance

function BaseObject.method:__init()
end

function BaseObject.method:clone()
  local copy = {}
  for key, value in next, self do copy[key] = value end
  return setmetatable(copy, getmetatable(self))
end

-- Property tables that many instances have in common: these are copied
-- before one of them gets a property of its own.
class.shared_properties = setmetatable({}, { __mode = 'k' })
local shared = class.shared_properties

local function properties_of(object)
  local own = rawget(object, PROPERTIES)
  if own and not shared[own] then return own end
  local new = {}
  if own then
    for name, property in next, own do new[name] = property end
  end
  rawset(object, PROPERTIES, new)
  return new
end
class.properties_of = properties_of

function BaseObject.method:addproperty(name, get, set)
  properties_of(self)[name] = { get = get, set = set }
end

-- New class; without a name it answers its parent's.
function class.class(name, super)
  if super == nil then super = BaseObject end
  if not shapes[super] then error('super class expected', 2) end
  local cls = create(name, super)
  local hook = super.__class_init
  if hook then hook(super, cls) end
  return cls
end

-- Read-only view on the methods of the parent of `cls`.
function class.super(cls)
  local shape = shapes[cls]
  if not shape then error('class expected', 2) end
  if not shape.super then return nil end
  if not shape.view then
    local parent = shape.super
    shape.view = setmetatable({}, {
      __index = shapes[parent].methods,
      __newindex = function () error('immutable class', 2) end,
      __tostring = function () return format('<class view: %s>', parent.name) end,
    })
  end
  return shape.view
end

function class.isclass(value)
  return value ~= nil and shapes[value] ~= nil
end

function class.classof(object)
  local meta = getmetatable(object)
  if meta ~= nil and shapes[meta] then return meta end
end
local classof = class.classof

function class.isaclass(cls, ancestor)
  while cls do
    if cls == ancestor then return shapes[cls] ~= nil end
    local shape = shapes[cls]
    cls = shape and shape.super
  end
  return false
end
local isaclass = class.isaclass

function class.isa(object, ancestor)
  local cls = classof(object)
  return cls ~= nil and isaclass(cls, ancestor)
end

-- Gives `dst` the dynamic properties and the raw fields of `src`.
function class.merge(dst, src)
  for key, value in next, src do
    if key ~= PROPERTIES then rawset(dst, key, value) end
  end
  local properties = rawget(src, PROPERTIES)
  if not properties then return end
  if rawget(dst, PROPERTIES) == nil and shared[properties] then
    rawset(dst, PROPERTIES, properties)
    return
  end
  local own = properties_of(dst)
  for name, property in next, properties do own[name] = property end
end

-- For the library itself: a method without going through the instance
-- (whose __index may raise), and what the pretty-printer walks.
function class.find_method(object, name)
  local cls = classof(object)
  return cls and shapes[cls].methods[name]
end

-- Methods and property getters of an object, inherited ones as well.
function class.members(object)
  local shape = shapes[classof(object)]
  return shape.methods, shape.getters
end

class.property_field = PROPERTIES

function class.instance_properties(object)
  return rawget(object, PROPERTIES)
end

function class.own_properties(cls)
  return shapes[cls].own_properties
end

class.BaseObject = BaseObject

return class
