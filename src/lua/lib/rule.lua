-- Rules and rule groups, and the lists of them that summary and console show.

local _, lib = ...

local type, ipairs, getinfo, format = type, ipairs, debug.getinfo, string.format
local new_class, isa = lib.class.class, lib.class.isa
local check_assert = lib.check.assert
local Event, events = lib.event.Event, lib.event.events
local connections = lib.context.context.connections
local log, watch = lib.log.of('core'), lib.watch

-- Every rule and group in order of registration; `require('rule')`.
local module = { rules = {} }

local function location_of(level)
  local info = getinfo(level + 1, 'Sl')
  return format('%s:%d', info.short_src, info.currentline)
end

-- `hook` was the name of `on` before 0.3.
local function event_of(definition, kind, location)
  if definition.on == nil and definition.hook ~= nil then
    log.warning("%s at %s uses 'hook' keyword which is deprecated and should be replaced by 'on'",
      kind, location)
    return definition.hook
  end
  return definition.on
end

local function register(definition, event, fn, group)
  module.rules[#module.rules + 1] = definition
  connections:register(event, fn, definition.options, {
    location = definition.location,
    name = definition.name,
    group = group,
  })
end

local function add_rule(definition, event, location)
  definition.on = event
  definition.location = location
  definition.type = 'simple'
  register(definition, event, definition.eval, false)
end

function module.rule(definition)
  check_assert(type(definition) == 'table', 'rule parameter must be a table')
  local location = location_of(2)
  local event = event_of(definition, 'rule', location)
  check_assert(event ~= nil, 'no event defined for rule')
  check_assert(isa(event, Event), 'rule must bind on an event')
  check_assert(type(definition.eval) == 'function', 'rule eval function expected')
  local options = definition.options
  check_assert(options == nil or type(options) == 'table', 'rule options should be table')
  add_rule(definition, event, location)
end

-- Shorthand for a rule on the end of the run.
function module.on_exit(fn)
  check_assert(type(fn) == 'function', 'rule eval function expected')
  add_rule({ eval = fn }, events.exiting, location_of(2))
end

local RuleGroup = new_class('RuleGroup')

local function accept()
  return true
end

local function nothing()
end

function RuleGroup.method:__init(definition, event, location)
  self.on = event
  self.name = definition.name
  self.options = definition.options
  self.init = definition.init or nothing
  self.continue = definition.continue or accept
  self.final = definition.final or nothing
  self.location = location
  self.type = 'group'
  self.rules = {}
end

function RuleGroup.method:rule(definition)
  check_assert(type(definition) == 'table', 'rule parameter must be a table')
  check_assert(type(definition.eval) == 'function', 'rule eval function expected')
  local location, eval = location_of(2), definition.eval
  if watch then eval = watch.member(eval, location) end
  self.rules[#self.rules + 1] = { eval = eval, location = location }
end

-- Nothing is checked between init and the first rule; the event's own check
-- after `final` is that of the event's delivery.
function RuleGroup.method:eval(...)
  local event_continue = self.on.continue
  local rules = self.rules
  self.init(...)
  local i = 1
  while i <= #rules do
    local result = rules[i].eval(...)
    event_continue(...)
    if not self.continue(result, ...) then return end
    i = i + 1
  end
  self.final(...)
end

local function optional_function(value)
  return value == nil or type(value) == 'function'
end

function module.rule_group(definition)
  check_assert(type(definition) == 'table', 'rule parameter must be a table')
  local location = location_of(2)
  local event = event_of(definition, 'rule groupe', location)
  check_assert(event ~= nil, 'no event defined for rule group')
  check_assert(isa(event, Event), 'rule must bind on an event')
  check_assert(optional_function(definition.init), 'rule group init function expected')
  check_assert(optional_function(definition.continue), 'rule group continue function expected')
  check_assert(optional_function(definition.final), 'rule group final function expected')
  local options = definition.options
  check_assert(options == nil or type(options) == 'table', 'rule group options should be table')

  local group = RuleGroup:new(definition, event, location)
  register(group, event, function (...) group:eval(...) end, true)
  return group
end

function module.rule_summary()
  local total = 0
  for event, listeners in connections:each() do
    if #listeners > 0 then
      log.info("%d rule(s) on event '%s'", #listeners, event.name)
      total = total + #listeners
    end
  end
  if total == 0 then
    log.warning('no registered rule\n')
  else
    log.info('%d rule(s) registered\n', total)
  end
end

-- haka.console.rules and .events: rows for the console's lists.
module.console = {}

function module.console.rules()
  local rows = {}
  for i, rule in ipairs(module.rules) do
    rows[i] = {
      name = rule.name,
      event = rule.on.name,
      location = rule.location,
      type = rule.type,
    }
  end
  return rows
end

function module.console.events()
  local rows = {}
  for event, listeners in connections:each() do
    if #listeners > 0 then
      rows[#rows + 1] = { event = event.name, listener = #listeners }
    end
  end
  return rows
end

return module
