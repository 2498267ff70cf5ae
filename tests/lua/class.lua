-- rules.md 1.6 and 1.7.

local _, lib, test = ...
local class, check = lib.class, lib.check

local function counter()
  local Counter = class.class('Counter')
  function Counter.method:__init(start) self._n = start or 0 end
  Counter.property.value = { get = function (self) return self._n end }
  function Counter.method:bump() self._n = self._n + 1 return self end
  return Counter
end

return {
  ['example of 1.6: method chaining and a property'] = function ()
    test.equal(counter():new(4):bump().value, 5)
  end,

  ['a property with only a getter is hidden by an assignment'] = function ()
    local c = counter():new(4)
    c.value = 'mine'
    test.equal(c.value, 'mine')
    test.equal(c._n, 4)
  end,

  ['setter, then __newindex, then a raw field'] = function ()
    local C = class.class('C')
    local seen
    C.property.x = { set = function (self, v) rawset(self, 'stored', v) end }
    function C.method:__newindex(key, value) seen = key .. '=' .. value end
    local c = C:new()
    c.x = 3
    c.y = 4
    test.equal(c.stored, 3)
    test.equal(seen, 'y=4')
    test.equal(rawget(c, 'y'), nil)
    local D = class.class('D')
    local d = D:new()
    d.z = 5
    test.equal(rawget(d, 'z'), 5)
  end,

  ['the nearest class decides between method and property'] = function ()
    local A = class.class('A')
    function A.method:what() return 'method' end
    A.property.other = { get = function () return 'property' end }
    local B = class.class('B', A)
    B.property.what = { get = function () return 'getter' end }
    B.method.other = 'nearer'
    test.equal(B:new().what, 'getter')
    test.equal(B:new().other, 'nearer')
    test.equal(A:new():what(), 'method')
  end,

  ['a half property inherits the other half'] = function ()
    local A = class.class('A')
    A.property.x = { get = function (self) return self._x end }
    local B = class.class('B', A)
    B.property.x = { set = function (self, v) rawset(self, '_x', v * 2) end }
    local b = B:new()
    b.x = 4
    test.equal(b.x, 8)
  end,

  ['__index is asked last'] = function ()
    local C = class.class('C')
    function C.method:__index(key) return key .. '?' end
    function C.method:known() end
    local c = C:new()
    c.raw = 1
    test.equal(c.raw, 1)
    test.equal(type(c.known), 'function')
    test.equal(c.unknown, 'unknown?')
  end,

  ['members added later are seen (Q3)'] = function ()
    local A = class.class('A')
    local B = class.class('B', A)
    local b = B:new()
    test.equal(b.late, nil)
    test.equal(B.static, nil)
    function A.method:late() return 'late' end
    A.static = 7
    test.equal(b:late(), 'late')
    test.equal(B.static, 7)
    A.property.p = { get = function () return 'p' end }
    test.equal(b.p, 'p')
  end,

  ['statics are inherited but not seen on instances'] = function ()
    local A = class.class('A')
    A.answer = 42
    local B = class.class('B', A)
    test.equal(B.answer, 42)
    test.equal(B:new().answer, nil)
  end,

  ['reading C.method looks up the hierarchy'] = function ()
    local A = class.class('A')
    function A.method:f() return 'f' end
    local B = class.class('B', A)
    test.equal(B.method.f, A.method.f)
    test.equal(B.method.g, nil)
  end,

  ['class.super is a read-only view of the parent'] = function ()
    local A = class.class('A')
    function A.method:__init(x) self.x = x end
    local B = class.class('B', A)
    function B.method:__init(x)
      class.super(B).__init(self, x)
      self.y = 2
    end
    local b = B:new(1)
    test.equal(b.x + b.y, 3)
    test.equal(tostring(class.super(B)), '<class view: A>')
    test.raises_here('immutable class', function () class.super(B).f = 1 end)
  end,

  ['texts of classes and instances'] = function ()
    local C = class.class('C')
    test.equal(tostring(C), '<class: C>')
    test.equal(tostring(C:new()):match('^<class instance C: 0x%x+>$') ~= nil, true)
    function C.method:__tostring() return 'me' end
    test.equal(tostring(C:new()), 'me')
    test.equal(class.class().name, 'BaseObject')
  end,

  ['classof, isa, isaclass, isclass never raise'] = function ()
    local A = class.class('A')
    local B = class.class('B', A)
    local b = B:new()
    test.equal(class.classof(b), B)
    test.equal(class.classof('text'), nil)
    test.equal(class.classof({}), nil)
    test.equal(class.classof(B), nil)
    test.equal(class.isa(b, A), true)
    test.equal(class.isa(A:new(), B), false)
    test.equal(class.isa(nil, A), false)
    test.equal(class.isa(12, A), false)
    test.equal(class.isa({}, A), false)
    test.equal(class.isaclass(B, A), true)
    test.equal(class.isaclass(B, B), true)
    test.equal(class.isaclass(A, B), false)
    test.equal(class.isclass(A), true)
    test.equal(class.isclass(b), false)
    test.equal(class.isclass(nil), false)
    test.equal(A.name .. (B.super == A and '!' or '?'), 'A!')
  end,

  ['__class_init runs for every subclass'] = function ()
    local A = class.class('A')
    local seen = {}
    function A:__class_init(cls) seen[#seen + 1] = self.name .. '>' .. cls.name end
    local B = class.class('B', A)
    class.class('C', B)
    test.same(seen, { 'A>B', 'B>C' })
  end,

  ['clone shares properties added to the instance'] = function ()
    local C = class.class('C')
    local c = C:new()
    c.raw = 1
    c:addproperty('double', function (self) return self.raw * 2 end)
    local copy = c:clone()
    copy.raw = 5
    test.equal(copy.double, 10)
    test.equal(c.double, 2)
    test.equal(class.classof(copy), C)
  end,

  ['instance property before method'] = function ()
    local C = class.class('C')
    function C.method:x() end
    local c, written = C:new(), nil
    c:addproperty('x', function () return 'own' end, function (_, v) written = v end)
    test.equal(c.x, 'own')
    c.x = 3
    test.equal(written, 3)
  end,

  ['merge takes fields and dynamic properties'] = function ()
    local C = class.class('C')
    local from, to = C:new(), C:new()
    from.a = 1
    from:addproperty('b', function (self) return self.a + 1 end)
    class.merge(to, from)
    test.equal(to.a, 1)
    test.equal(to.b, 2)
  end,

  ['other metamethods belong to the class object alone'] = function ()
    local A = class.class('A')
    A.__len = function () return 9 end
    function A:__pairs() return next, { only = 1 }, nil end
    local B = class.class('B', A)
    test.equal(#A:new(), 9)
    test.equal(#B:new(), 0)
    for key in pairs(A:new()) do test.equal(key, 'only') end
  end,

  ['new may be overridden'] = function ()
    local C = class.class('C')
    function C:new(x)
      local object = class.new_instance(self)
      object.x = x
      return object
    end
    test.equal(C:new(3).x, 3)
  end,

  ['check points at the caller of the checking function'] = function ()
    local function f(x, y)
      check.type(1, x, 'number')
      check.types(2, y, { 'string', 'table' })
      check.assert(x > 0, 'too small')
      check.error('at last')
    end
    test.raises_here('invalid parameter 1, expected number', function () f('a') end)
    test.raises_here('invalid parameter 2, expected string or table', function () f(1, 2) end)
    test.raises_here('too small', function () f(0, '') end)
    test.raises_here('at last', function () f(1, '') end)
  end,
}
