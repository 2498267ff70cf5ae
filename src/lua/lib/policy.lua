-- Policies: ordered entries of criteria and actions, the last match wins.
--
-- The criteria are in criterion.lua; this owns `haka.policy` itself, the
-- entries, their evaluation and the built-in actions.

local host, lib = ...

local type, pairs, tostring, error = type, pairs, tostring, error
local select, unpack, sort, format = select, unpack, table.sort, string.format
local getinfo, setmetatable = debug.getinfo, setmetatable

local new_class, isa = lib.class.class, lib.class.isa
local check_assert, check_error = lib.check.assert, lib.check.error
local log_enabled, write_log = host.log_enabled, host.log
local log, watch = lib.log.of('core'), lib.watch
local try_alert, alert_fields = lib.alert.try, lib.alert.known
local criterion_of = lib.criterion.of
local policy = lib.criterion.policy

local DEBUG = 4
local UNNAMED = '<unnamed>'

-- While true, learnable criteria hold and take in the values they meet.
policy.learning = false

local Policy = new_class('Policy')
policy.Policy = Policy

function Policy.method:__init(name)
  self.name = name
  self._entries = {}
end

-- List of {name, criterion} in the order of the names, so that evaluation
-- does not depend on the table's order; or nil and the error's text.
local function criteria_list(criteria)
  local list = {}
  for name, value in pairs(criteria) do
    local criterion, problem = criterion_of(value)
    if not criterion then return nil, format("criterion '%s': %s", tostring(name), problem) end
    list[#list + 1] = { name = name, criterion = criterion }
  end
  sort(list, function (a, b) return tostring(a.name) < tostring(b.name) end)
  return list
end

local function action_list(action)
  if type(action) == 'function' then return { action } end
  if type(action) ~= 'table' or #action == 0 then return nil end
  local list = {}
  for i = 1, #action do
    if type(action[i]) ~= 'function' then return nil end
    list[i] = action[i]
  end
  return list
end

-- The host may evaluate natively a policy that has only the entries it made
-- itself, and is told of every new one.
local function append(self, name, criteria, actions)
  local builtin = host.builtin == true
  -- Where the rule file calls `insert` or `haka.policy`.
  local info = not builtin and getinfo(3, 'Sl')
  self._entries[#self._entries + 1] = {
    name = name,
    location = info and format('%s:%d', info.short_src, info.currentline) or nil,
    criteria = criteria,
    actions = actions,
    builtin = builtin,
  }
  if self._native and host.policy_changed then host.policy_changed(self) end
end

-- Low-level form of `haka.policy{...}`: logs nothing, keeps the table.
function Policy.method:insert(name, criteria, actions)
  local list, problem = criteria_list(criteria or {})
  if not list then check_error(problem) end
  actions = action_list(actions)
  check_assert(actions, 'policy action must be a function or a list of functions')
  append(self, name or UNNAMED, list, actions)
end

-- Whether rules added nothing of their own.
function Policy.method:only_builtin()
  local entries = self._entries
  for i = 1, #entries do
    if not entries[i].builtin then return false end
  end
  return true
end

local function trace(self, what, entry)
  if log_enabled(DEBUG, 'core') then
    write_log(DEBUG, 'core', format('%s policy %s for %s', what, entry.name, self.name))
  end
end

-- Whether the entry is eligible, and whether it has something to learn.
local function matches(entry, values, learning)
  local criteria = entry.criteria
  local learns = false
  for i = 1, #criteria do
    local one = criteria[i]
    if learning and one.criterion.learnable then
      learns = true
    elseif not one.criterion:compare(values[one.name]) then
      return false, false
    end
  end
  return true, learns
end

local function learn(entry, values)
  local criteria = entry.criteria
  for i = 1, #criteria do
    local one = criteria[i]
    if one.criterion.learnable then one.criterion:learn(values[one.name]) end
  end
end

-- Policy.apply without its checks and argument table. Whether an entry
-- applied.
function Policy.method:evaluate(ctx, values, desc)
  local entries, learning = self._entries, policy.learning
  local chosen
  for i = 1, #entries do
    local entry = entries[i]
    local eligible, learns = matches(entry, values, learning)
    if eligible then
      if learns then
        trace(self, 'learning', entry)
        learn(entry, values)
      end
      chosen = entry
    else
      trace(self, 'rejected', entry)
    end
  end
  if not chosen then return false end
  trace(self, 'applying', chosen)
  local actions = chosen.actions
  local token = watch and watch.begin(watch.policy(self, chosen), -1)
  for i = 1, #actions do actions[i](self, ctx, values, desc) end
  if token then watch.done(token) end
  return true
end

function Policy.method:apply(args)
  check_assert(type(args) == 'table', 'policy parameter must be a table')
  check_assert(args.ctx ~= nil, 'no context defined for policy')
  check_assert(args.values == nil or type(args.values) == 'table', 'values must be a table')
  check_assert(args.desc == nil or type(args.desc) == 'table', 'desc must be a table')
  self:evaluate(args.ctx, args.values or {}, args.desc or {})
end

function policy.new(name)
  return Policy:new(name)
end

function policy.accept()
end

function policy.drop(_, ctx)
  ctx:drop()
end

-- Alert made of the given fields, completed from the `desc` of the place
-- that applies the policy. What `desc` has beyond an alert's fields is left
-- out.
function policy.alert(fields)
  check_assert(type(fields) == 'table', 'policy alert parameter must be a table')
  local info = getinfo(2, 'Sl')
  local location = format('%s:%d', info.short_src, info.currentline)
  return function (self, _, _, desc)
    local alert = {}
    for name, value in pairs(desc or {}) do
      if alert_fields[name] then alert[name] = value end
    end
    for name, value in pairs(fields) do alert[name] = value end
    if alert.description == nil then alert.description = self.name end
    local handle, problem = try_alert(alert)
    if not handle then error(location .. ': ' .. problem, 0) end
  end
end

function policy.log(logger, ...)
  local count, arguments = select('#', ...), { ... }
  return function ()
    logger(unpack(arguments, 1, count))
  end
end

local function add(_, definition)
  check_assert(type(definition) == 'table', 'policy parameter must be a table')
  local on = definition.on
  check_assert(on ~= nil, 'no on defined for policy')
  check_assert(isa(on, Policy), 'policy on must be a Policy')
  local actions = action_list(definition.action)
  check_assert(actions, 'policy action must be a function or a list of functions')
  local name = definition.name or UNNAMED
  definition.on, definition.name, definition.action = nil, nil, nil
  local criteria, problem = criteria_list(definition)
  if not criteria then check_error(problem) end
  append(on, name, criteria, actions)
  log.info("register policy '%s' on '%s'", name, on.name)
end

return setmetatable(policy, { __call = add })
