-- Grammars: `haka.grammar.new`, and the objects that it gives.
--
-- A definition runs once, in an environment of its own: words and rules come
-- before the globals there, and the globals stay as they are. Afterwards that
-- environment is nothing but a view on the globals, for callbacks keep it.

local host, lib = ...

local class, entity, node = lib.class, lib['grammar/entity'], lib['grammar/node']
local generate, context = lib['grammar/generate'], lib['grammar/context']
local scopes = lib['grammar/scope']
local results, dump = lib['grammar/result'], lib['grammar/dump']
local place = lib['grammar/place']
local words, refuse = entity.words, place.refuse
local type, pairs, ipairs, next, tostring, error, pcall, select =
  type, pairs, ipairs, next, tostring, error, pcall, select
local rawget, rawset, setmetatable, setfenv, getfenv =
  rawget, rawset, setmetatable, setfenv, getfenv
local getmetatable = debug.getmetatable
local format = string.format
local isa = class.isa
local is_iterator = lib.bufobject.is_iterator
local log = lib.log.of('grammar')

local grammar = {}

-- What belongs to a grammar's object: rules must not reach it.
local inside = setmetatable({}, { __mode = 'k' })

-- Variants of the generated functions.
local PARSE, TRACE = { key = 1 }, { key = 2, trace = true }
local CREATE, CREATE_TRACE = { key = 3, create = true }, { key = 4, create = true, trace = true }

-- Definition ----------------------------------------------------------------------

local RESERVED = { export = true, define = true, extend = true }
for name in pairs(words) do RESERVED[name] = true end
grammar.reserved = RESERVED

local function new_definition(name)
  return { name = name, rules = {}, declared = {}, exports = {} }
end

-- Assigns a rule. Predefined entities and those of other rules are copied:
-- the rule's name belongs to this one.
local function assign(self, name, value)
  local rule = entity.copy(value)
  if rule.kind ~= 'reference' then rule.rule = name end
  self.rules[name] = rule
end

local function reference(self, name)
  if self.rules[name] or self.declared[name] then
    return entity.Reference:new(name)
  end
end

local statements = {}

function statements.export(self, ...)
  for i = 1, select('#', ...) do
    local rule = select(i, ...)
    if not isa(rule, entity.Reference) then refuse('can only export named rules') end
    local name = rule.target
    if not self.exports[name] then
      self.exports[name] = true
      self.exports[#self.exports + 1] = name
    end
  end
end

function statements.define(self, ...)
  for i = 1, select('#', ...) do
    local name = select(i, ...)
    if type(name) ~= 'string' then refuse('invalid parameter, define expects names of rules') end
    if RESERVED[name] then refuse(format("'%s' is reserved in the grammar scope", name)) end
    self.declared[name] = true
  end
end

-- A rule that this grammar has already stays.
function statements.extend(self, ...)
  for i = 1, select('#', ...) do
    local base = inside[select(i, ...)]
    if not base then refuse('invalid parameter, extend expects grammars') end
    for name, rule in pairs(base.rules) do self.rules[name] = rule end
    for _, name in ipairs(base.exports) do
      if not self.exports[name] then
        self.exports[name] = true
        self.exports[#self.exports + 1] = name
      end
    end
  end
end

-- What a name that is no global means during the definition.
local function lookup(self, bound, name)
  local word = words[name]
  if word ~= nil then return word end
  return bound[name] or reference(self, name)
end

-- Assigns a name: a rule if it is an entity. Returns whether it was one.
local function define(self, name, value)
  if RESERVED[name] then refuse(format("'%s' is reserved in the grammar scope", name)) end
  if type(name) ~= 'string' or not entity.is(value) then return false end
  assign(self, name, value)
  return true
end

-- Helper functions of the same environment see the words while the definition
-- runs, where no global is in the way.
local function open_globals(self, bound, env)
  local before = getmetatable(env)
  local index = type(before) == 'table' and rawget(before, '__index')
  setmetatable(env, {
    __index = function (_, name)
      local value
      if type(index) == 'function' then
        value = index(env, name)
      elseif index then
        value = index[name]
      end
      if value ~= nil then return value end
      return lookup(self, bound, name)
    end,
    __newindex = function (_, name, value)
      if not define(self, name, value) then rawset(env, name, value) end
    end,
  })
  return function () setmetatable(env, before) end
end

local function new_environment(self, bound, env)
  local scope = setmetatable({}, {
    __index = function (_, name)
      local value = lookup(self, bound, name)
      if value ~= nil then return value end
      return env[name]
    end,
    __newindex = function (_, name, value)
      if not define(self, name, value) then rawset(env, name, value) end
    end,
  })
  return scope
end

local function run_definition(self, definition)
  local bound = {}
  for name, statement in pairs(statements) do
    bound[name] = function (...) statement(self, ...) end
  end
  local env = getfenv(definition)
  local close = open_globals(self, bound, env)
  local scope = new_environment(self, bound, env)
  setfenv(definition, scope)
  local ok, message = pcall(definition)
  setfenv(definition, env)
  close()
  setmetatable(scope, { __index = env, __newindex = env })
  if not ok then error(message, 0) end
end

-- Parsing and creating ------------------------------------------------------------

local Node = node.Node

-- The function of an entry point for one variant, and its result's maker.
local function prepared(entry, variant)
  local compiled = generate.entries[entry]
  if not compiled then error('this entity cannot be parsed by itself', 0) end
  local run = compiled[variant]
  if not run then
    compiled.top = compiled.top or generate.top(compiled.grammar, compiled.entry)
    run = generate.entry(compiled.grammar, variant, compiled.entry)
    compiled[variant] = run
    if compiled.direct == nil then
      compiled.direct = generate.direct(compiled.grammar, compiled.entry)
    end
  end
  return run, compiled
end

local function start(iter, user, init)
  if not is_iterator(iter) then refuse('invalid parameter 1, expected an iterator') end
  iter.meter = 0
  local ctx = context.new(iter, user, nil, init)
  return ctx
end

local function run(ctx, fn, compiled)
  if compiled.grammar.validated then ctx._pending = {} end
  local result = compiled.top(ctx)
  ctx._top, ctx._current = result, result
  local err = context.run(ctx, fn, result)
  return result, err
end

function Node.method:parse(iter, user)
  local traced = context.traced()
  local fn, compiled = prepared(self, traced and TRACE or PARSE)
  if compiled.direct and not traced and is_iterator(iter) then
    local result = compiled.direct(iter, user)
    if result then return result end
  end
  local ctx = start(iter, user)
  local result, err = run(ctx, fn, compiled)
  return result, err
end

-- `init` holds the values to write.
function Node.method:create(iter, init)
  local fn, compiled = prepared(self, context.traced() and CREATE_TRACE or CREATE)
  local ctx = start(iter, nil, init == nil and {} or init)
  local result, err = run(ctx, fn, compiled)
  return result, err
end

-- Compiling -----------------------------------------------------------------------

-- All names that fields of the exported rules may have.
local function declared_fields(self)
  local fields = {}
  for _, compiled in pairs(self.compiled) do
    local entry = generate.entries[compiled].entry
    for name in pairs(entry.scope.named) do fields[name] = true end
  end
  return fields
end

local function compile(self)
  self.bodies, self.blocks, self.keys, self.units = {}, 0, 0, { {}, {}, {}, {} }
  self.compiled = {}
  for _, name in ipairs(self.exports) do
    local rule = self.rules[name]
    if not rule then
      refuse(format('exported rule must be registered in the grammar: %s', name))
    end
    local entry = node.entry(self, rule)
    self.compiled[name] = entry.node
    generate.entries[entry.node] = { grammar = self, entry = entry }
    node.link(entry.node, nil)
  end
  -- All results are known before the first function is written.
  for _, compiled in pairs(self.compiled) do
    local entry = generate.entries[compiled].entry
    scopes.of(self, entry)
  end
  for _, compiled in pairs(self.compiled) do prepared(compiled, PARSE) end
  self.fields = declared_fields(self)
end

local function object_of(self)
  local object = setmetatable({}, {
    __index = function (_, name)
      local compiled = self.compiled[name]
      if compiled then return compiled end
      error(format("unknown grammar public rule '%s'", tostring(name)), 2)
    end,
    __newindex = function () error('read-only table', 2) end,
    __metatable = false,
  })
  if #self.exports == 1 then
    rawset(object, 'unique_export', self.compiled[self.exports[1]])
  end
  inside[object] = self
  return object
end

function grammar.new(name, definition)
  if type(name) ~= 'string' then refuse('invalid parameter 1, expected string') end
  if type(definition) ~= 'function' then refuse('grammar definition must be a function') end
  local self = new_definition(name)
  run_definition(self, definition)
  if #self.exports == 0 then
    log.warning("grammar '%s' does not have any exported element", name)
  end
  compile(self)
  if grammar.api.debug then dump(name, self.compiled) end
  local object = object_of(self)
  return object
end

-- For other modules -----------------------------------------------------------------

-- Whether a grammar's exported rules have a field of that name.
function grammar.declares(object, name)
  local self = inside[object]
  return self ~= nil and self.fields[name] == true
end

function grammar.is_entity(value)
  return isa(value, Node)
end

-- The module that `require('parse')` gives.
grammar.parse = generate.recursion

-- `haka.grammar`
grammar.api = {
  new = grammar.new,
  converter = words.converter,
  result = { Result = results.Result, ArrayResult = results.ArrayResult },
  Result = results.Result,
  debug = host.dump_graphs == true,
}

return grammar
