-- State machines: from a definition to nodes that instances stand on.
--
-- When the definition has run, each state becomes a node. For each of its
-- events a node has one function with all actions unrolled, the state's own
-- before those of `any`, so that an event is a table access and a call. The
-- instances are those of state_instance.lua.

local host, lib = ...

local types, instances, definition = lib.state_type, lib.state_instance, lib.definition
local error, ipairs, pairs, rawget, rawset, load, setmetatable, tostring, type =
  error, ipairs, pairs, rawget, rawset, load, setmetatable, tostring, type
local concat, format, gsub, sort = table.concat, string.format, string.gsub, table.sort
local classof, find_method = lib.class.classof, lib.class.find_method
local check_assert, check_error = lib.check.assert, lib.check.error
local built_in, is_state = types.built_in, types.is_state
local log = lib.log.of('states')

local machines = { State = types.State, BidirectionalState = types.BidirectionalState,
  new_state_type = types.new_state_type, debug = host.dump_graphs == true }

-- Compiling -------------------------------------------------------------------

-- The arguments of an action: those of the event, none for the machine's own.
local FORMS = { plain = { parameters = ', ...', leave = 'jump(instance, f[%d]) return' },
  built_in = { parameters = '', leave = 'return f[%d]' } }

-- One function for a list of actions: the first whose `when` agrees is taken.
-- Functions lie in a table, for there may be more than upvalues.
local function compile(actions, form)
  local functions, lines = {}, {}
  local function place_of(value)
    functions[#functions + 1] = value
    return #functions
  end
  local call = '    f[%d](owner' .. form.parameters .. ')'
  for _, action in ipairs(actions) do
    local head = 'do'
    if action.when then
      head = format('if f[%d](owner%s) then', place_of(action.when), form.parameters)
    end
    lines[#lines + 1] = '  ' .. head
    if action.execute then lines[#lines + 1] = format(call, place_of(action.execute)) end
    if action.target then
      lines[#lines + 1] = '    ' .. format(form.leave, place_of(action.target)) .. ' end'
    else
      lines[#lines + 1] = '    return end'
    end
    -- Nothing behind an action without condition is ever reached.
    if not action.when then break end
  end
  local source = format('local f, jump = ...\nreturn function (instance%s)\n'
    .. '  local owner = instance.owner\n%s\nend', form.parameters, concat(lines, '\n'))
  return load(source, '=[wero]/state', 't')(functions, instances.jump)
end

-- The actions of a state with those of `any` behind them, by event; those on
-- timeouts by the time, in the order in which these were first named.
local function collect(state, any)
  local by_event, by_time, times = {}, {}, {}
  for _, collection in ipairs { state, any } do
    for _, action in ipairs(rawget(collection, '_actions') or {}) do
      local lists, key = by_event, action.event
      if action.seconds then
        lists, key = by_time, action.seconds
        if not lists[key] then times[#times + 1] = key end
      end
      lists[key] = lists[key] or {}
      lists[key][#lists[key] + 1] = action
    end
  end
  return by_event, by_time, times
end

local function build_node(node, any)
  local state = node.state
  local known = types.events_of(classof(state))
  local by_event, by_time, times = collect(state, any)
  for name in pairs(known) do
    local actions = by_event[name]
    if built_in[name] then
      node[name] = actions and compile(actions, FORMS.built_in) or false
    else
      node.known[name] = true
      node.run[name] = actions and compile(actions, FORMS.plain) or nil
    end
  end
  for i, seconds in ipairs(times) do
    node.timeouts[i] = { seconds = seconds, run = compile(by_time[seconds], FORMS.built_in) }
  end
end

-- Definition ------------------------------------------------------------------

local Builder = {}
Builder.__index = Builder

local function new_builder(name)
  local self = { name = name, states = {}, order = {}, any = types.ActionCollection:new() }
  self.words = {
    state_type = function (description) self.cls = types.state_class(description) end,
    state = function (...)
      if not self.cls then
        check_error('cannot create state without prior call to state_type()')
      end
      local state = self.cls:new(...)
      return state
    end,
    initial = function (state) self.initial, self.has_initial = state, true end,
    any = self.any,
    events = types.events,
    finish = types.finish,
    fail = types.fail,
    State = types.State,
    BidirectionalState = types.BidirectionalState,
    ActionCollection = types.ActionCollection,
  }
  return setmetatable(self, Builder)
end

-- The words of a definition, for those who describe them.
function types.words()
  return new_builder('').words
end

function Builder:lookup(name)
  local word = self.words[name]
  if word ~= nil then return word end
  return self.states[name]
end

-- The level is the assignment in the definition.
function Builder:assign(name, value)
  if self.words[name] ~= nil then
    error(format("'%s' is reserved in the state machine scope", tostring(name)), 3)
  end
  if not is_state(value) or value == types.fail or value == types.finish then return false end
  if not self.states[name] then self.order[#self.order + 1] = name end
  self.states[name] = value
  rawset(value, '_name', name)
  return true
end

function Builder:check_initial()
  if not self.has_initial then error('state machine must have an initial state', 0) end
  local name = is_state(self.initial) and rawget(self.initial, '_name')
  if not name or self.states[name] ~= self.initial then
    error('state machine has an unknown initial state', 0)
  end
end

-- Makes a node for each state and the special targets.
function Builder:nodes()
  local nodes = { [types.fail] = instances.FAIL, [types.finish] = instances.FINISH }
  local list = {}
  for _, name in ipairs(self.order) do
    local state = self.states[name]
    if not nodes[state] then
      local node = { name = name, state = state, update = find_method(state, 'update'),
        run = {}, known = {}, timeouts = {} }
      nodes[state], list[#list + 1] = node, node
    end
  end
  return nodes, list
end

-- Resolves the targets of jumps and says which states these are.
local function resolve(collections, nodes)
  local reached = {}
  for _, collection in ipairs(collections) do
    for _, action in ipairs(rawget(collection, '_actions') or {}) do
      if action.jump then
        action.target = nodes[action.jump]
        if not action.target then
          error(format('%s: can only jump on defined state', action.place), 0)
        end
        reached[action.target] = true
      end
    end
  end
  return reached
end

function Builder:finish()
  self:check_initial()
  local nodes, list = self:nodes()
  local collections = { self.any }
  for i, node in ipairs(list) do collections[i + 1] = node.state end
  local reached = resolve(collections, nodes)
  for _, node in ipairs(list) do
    build_node(node, self.any)
    if not reached[node] and node.state ~= self.initial then
      log.warning('state machine %s never jump on state: %s', self.name, node.name)
    end
  end
  local states = { initial = self.initial, fail = types.fail, finish = types.finish }
  for name, state in pairs(self.states) do states[name] = state end
  local timed = false
  for _, node in ipairs(list) do timed = timed or #node.timeouts > 0 end
  return { name = self.name, initial = nodes[self.initial], states = states, timed = timed }, list
end

-- Graphs ----------------------------------------------------------------------

local function quote(text)
  return (gsub(format('%q', text), '\\\n', '\\n'))
end

-- The graph in the language of Graphviz: a node per state, an edge per jump.
local function graph(machine, list, any)
  local lines = { format('digraph %s {', quote(machine.name)),
    '  fail [fillcolor="#ee0000",style=filled,shape=box];',
    '  finish [fillcolor="#00ee00",style=filled,shape=box];' }
  for _, node in ipairs(list) do
    local shape = node == machine.initial and ' [fillcolor="#00d7ff",style=filled]' or ''
    lines[#lines + 1] = format('  %s%s;', quote(node.name), shape)
  end
  for _, node in ipairs(list) do
    local by_event, by_time = collect(node.state, any)
    local edges = {}
    local function add(label, actions)
      for _, action in ipairs(actions) do
        if action.target then
          edges[#edges + 1] = format('  %s -> %s [label=%s];', quote(node.name),
            quote(action.target.name), quote(label))
        end
      end
    end
    for event, actions in pairs(by_event) do
      if types.events_of(classof(node.state))[event] then add(event, actions) end
    end
    for seconds, actions in pairs(by_time) do add(format('timeout(%g)', seconds), actions) end
    sort(edges)
    lines[#lines + 1] = concat(edges, '\n')
  end
  lines[#lines + 1] = '}\n'
  return concat(lines, '\n')
end

local function dump(machine, list, any)
  local file = format('%s-state-machine.dot', machine.name)
  log.warning("dumping '%s' state_machine graph to %s", machine.name, file)
  if host.write_graph then host.write_graph(file, graph(machine, list, any)) end
end

-- -----------------------------------------------------------------------------

local Machine = { __name = 'state_machine' }
Machine.__index = Machine
Machine.__metatable = { __name = Machine.__name }

-- The spelling is Haka's.
function Machine:instanciate(owner)
  if owner == nil then error('state machine context required', 0) end
  local instance = instances.start(self, owner)
  return instance
end

-- `haka.state_machine.new(name, definition)`
function machines.new(name, define)
  check_assert(type(name) == 'string', 'state machine name must be a string')
  check_assert(type(define) == 'function', 'state machine definition must by a function')
  local builder = new_builder(name)
  definition.run(define, function (word) return builder:lookup(word) end,
    function (word, value) return builder:assign(word, value) end)
  local machine, list = builder:finish()
  if machines.debug then dump(machine, list, builder.any) end
  return setmetatable(machine, Machine)
end

return machines
