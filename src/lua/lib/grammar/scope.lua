-- Scopes: which fields a result has.
--
-- A scope belongs to whatever gives a result: an entry point, a compound with
-- a name, an element of an array, a case of a try. It collects the accessors
-- of all fields below that have no nearer scope, once, before any function is
-- written. A name that more than one field has is looked up in the result.

local _, lib = ...

local class, field = lib.class, lib['grammar/field']
local pairs, ipairs, rawget, rawset = pairs, ipairs, rawget, rawset

local scopes = {}

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
    present = function (self) return rawget(self, slot) ~= nil end,
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
          if body.kind == 'try' then scopes.of(grammar, case) end
        end
      end
    end
  end
end

-- The scope of what `owner` gives a result to: its fields' properties, and
-- the keys of its blocks.
function scopes.of(grammar, owner, steps, extras)
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
    return scopes.of(grammar, body.element)
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
      if body.kind == 'try' then scopes.of(grammar, case) end
    end
  end
end

return scopes
