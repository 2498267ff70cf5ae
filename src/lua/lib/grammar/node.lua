-- Nodes: a grammar's entities put in their places, ready to be compiled.
--
-- Resolving follows references to the rules they mean, tells each node its
-- id and rule as errors name them, and works out where in a byte it starts,
-- as far as that is known. Neighbours of fixed size become one block, which
-- is parsed by a single step. The contents of a rule are resolved once for
-- all the places that refer to it.

local _, lib = ...

local pairs, ipairs, tostring, setmetatable, type =
  pairs, ipairs, tostring, setmetatable, type
local floor, ceil, concat, sort, format =
  math.floor, math.ceil, table.concat, table.sort, string.format
local new_class = lib.class.class
local entity = lib['grammar/entity']
local refuse = lib['grammar/place'].refuse
local regexp = lib.regexp
local copy = entity.copy

local node = {}

local Node = new_class('DGNode')
node.Node = Node

local classes = {}
-- The classes by their names, for `require('grammar_dg')`.
node.public = { DGNode = Node }
for kind, name in pairs { number = 'DGNumber', bits = 'DGBits', align = 'DGAlign',
  bytes = 'DGBytes', token = 'DGToken', execute = 'DGExecute', verify = 'DGVerify',
  retain = 'DGRetain', release = 'DGRelease', empty = 'DGEmpty', error = 'DGError',
  record = 'DGCompoundStart', sequence = 'DGCompoundStart', union = 'DGUnionStart',
  try = 'DGTry', branch = 'DGBranch', array = 'DGArray', recursion = 'DGRecursion',
  record_start = 'DGRecordStart', record_finish = 'DGRecordFinish',
} do
  classes[name] = classes[name] or new_class(name, Node)
  classes[kind] = classes[name]
  node.public[name] = classes[name]
end

-- Following references ------------------------------------------------------------

local function follow(grammar, reference, seen)
  local name = reference.target
  local rule = grammar.rules[name]
  if not rule or seen[name] then refuse(format('undefined entity: %s', name)) end
  seen[name] = true
  if rule.kind == 'reference' then rule = follow(grammar, rule, seen) end
  local found = copy(rule)
  for _, option in ipairs(reference.later or {}) do
    found = found[option[1]](found, option[2], option[3])
    found.private = true
  end
  found.name = reference.name or found.name
  found.converter = reference.converter or found.converter
  found.memo = reference.memo or found.memo
  found.validator = reference.validator or found.validator
  -- The rule's own come first.
  if reference.checks then
    local checks = {}
    for _, list in ipairs { found.checks or {}, reference.checks } do
      for _, check in ipairs(list) do checks[#checks + 1] = check end
    end
    found.checks = checks
  end
  return found
end

-- Blocks --------------------------------------------------------------------------

-- The bits of a node that can be part of a block, else nil.
local function fixed_size(self)
  local phase = self.phase
  if not phase then return nil end
  if self.kind == 'number' then return self.bits end
  if self.kind == 'bits' and type(self.bits) == 'number' then return self.bits end
  if self.kind == 'align' and 8 % self.bits == 0 then
    return (self.bits - phase % self.bits) % self.bits
  end
end

local function new_block(grammar, phase)
  grammar.blocks = grammar.blocks + 1
  return { key = grammar.blocks, phase = phase, fields = {}, size = phase }
end

local function close(block)
  block.need = ceil(block.size / 8)
  block.take = floor(block.size / 8)
end

-- A block of numbers is read by the byte; what only skips asks for no bytes
-- of its own (the fields around it do).
local function put(block, self, size)
  self.block = block
  self.first = floor(block.size / 8)
  self.bit = block.size % 8
  block.size = block.size + size
  self.last = ceil(block.size / 8) - 1
  block.fields[#block.fields + 1] = self
end

-- Nodes in order, with neighbours of fixed size in blocks. What has checks
-- ends a block, for they come before anything else is read.
local function group(grammar, nodes)
  local steps, block = {}, nil
  local function finish()
    if block then close(block) end
    block = nil
  end
  for _, self in ipairs(nodes) do
    local size = fixed_size(self)
    if size then
      if not block then
        block = new_block(grammar, self.phase)
        steps[#steps + 1] = { block = block }
      end
      put(block, self, size)
      if self.checks then finish() end
    else
      finish()
      steps[#steps + 1] = { node = self }
    end
  end
  finish()
  return steps
end

-- Resolving -----------------------------------------------------------------------

local resolve

-- What several ways to the same place have in common.
local function join(phases, count)
  for i = 2, count do
    if phases[i] ~= phases[1] then return nil end
  end
  return phases[1]
end

local contents = {}

function contents.record(grammar, e, body, rule, phase)
  local nodes = {}
  for i, member in ipairs(e.members) do
    local self = resolve(grammar, member, i, rule, phase)
    nodes[i], phase = self, self.endphase
  end
  body.nodes, body.steps, body.endphase = nodes, group(grammar, nodes), phase
end
contents.sequence = contents.record

local function cases_of(grammar, e, body, rule, phase)
  local ends = {}
  body.nodes, body.cases = {}, {}
  for i, member in ipairs(e.members) do
    local self = resolve(grammar, member, i, rule, phase)
    body.nodes[i] = self
    body.cases[i] = { node = self, steps = group(grammar, { self }) }
    ends[i] = self.endphase
  end
  body.endphase = join(ends, #e.members)
end
contents.try = cases_of

-- The farthest member decides; it is known only if none can be in doubt.
function contents.union(grammar, e, body, rule, phase)
  cases_of(grammar, e, body, rule, phase)
  if #e.members == 0 then body.endphase = phase end
end

function contents.branch(grammar, e, body, rule, phase)
  local ends, count = {}, 0
  body.nodes, body.cases = {}, {}
  body.selector, body.strict = e.selector, e.strict
  local keys = {}
  for key in pairs(e.cases) do keys[#keys + 1] = key end
  sort(keys, function (a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local case = e.cases[key]
    count = count + 1
    if case == 'continue' then
      body.skips = true
      ends[count] = phase
    else
      if e.name then
        if case.name then
          refuse(format("named element '%s' are not supported in named branch", case.name))
        end
        case = copy(case)
        case.name = e.name
        case.converter, case.memo = e.converter or case.converter, e.memo or case.memo
        case.validator = e.validator or case.validator
      end
      local self = resolve(grammar, case, key, rule, phase)
      body.nodes[#body.nodes + 1] = self
      body.cases[key] = { node = self, steps = group(grammar, { self }) }
      ends[count] = self.endphase
    end
  end
  body.endphase = join(ends, count)
end

function contents.array(grammar, e, body, rule, phase, id)
  if not (e.length or e.stop or e.go) then
    refuse(format('array %s never ends: it needs count, untilcond or whilecond',
      e.name and format("'%s'", e.name) or e.rule or rule or ''))
  end
  local self = resolve(grammar, e.element, id, rule, phase)
  if self.endphase ~= phase then
    -- The second element starts elsewhere in its byte than the first.
    phase = nil
    self = resolve(grammar, e.element, id, rule, phase)
  end
  body.element = { node = self, steps = group(grammar, { self }), class = self.class }
  body.nodes, body.endphase, body.start = { self }, phase, phase
  body.length, body.stop, body.go, body.maker = e.length, e.stop, e.go, e.maker
end

-- The contents of a compound; those of a rule are shared.
local function body_of(grammar, e, id, rule, phase)
  local key
  if e.rule and not e.private then
    key = concat({ e.kind, e.rule, tostring(phase), tostring(e.kind == 'array' and id),
      tostring(e.kind == 'branch' and e.name) }, '|')
    local known = grammar.bodies[key]
    if known then
      known.shared = true
      return known
    end
  end
  local body = { kind = e.kind, rule = e.rule, phase = phase, extras = e.extras, done = false }
  if key then grammar.bodies[key] = body end
  contents[e.kind](grammar, e, body, e.rule or rule, phase, id)
  body.done = true
  return body
end

local function after(self, phase)
  local kind = self.kind
  if kind == 'bytes' or kind == 'token' then return 0 end
  local bits = self.bits
  if kind == 'align' then
    if bits % 8 == 0 then return 0 end
    if phase and 8 % bits == 0 then return (phase + (bits - phase % bits) % bits) % 8 end
    return nil
  end
  if kind == 'number' or kind == 'bits' then
    if not phase or type(bits) ~= 'number' then return nil end
    return (phase + bits) % 8
  end
  return phase
end

-- What an entity leaves to its node as it is.
local KEPT = { 'name', 'converter', 'memo', 'validator', 'checks', 'bits', 'little', 'pattern',
  'raw', 'length', 'delimiter', 'chunk', 'fn', 'message', 'class', 'readonly' }

function resolve(grammar, e, id, rule, phase)
  if e.kind == 'reference' then e = follow(grammar, e, {}) end
  local compound = contents[e.kind] ~= nil
  local self = setmetatable({ kind = e.kind, id = id, phase = phase }, classes[e.kind])
  for _, key in ipairs(KEPT) do self[key] = e[key] end
  self.rule = compound and e.rule or rule
  if self.validator then grammar.validated = true end
  if self.kind == 'token' then
    self.regexp = regexp.token(self.pattern)
  elseif self.delimiter then
    self.regexp = regexp.search(self.delimiter)
  end
  if e.kind == 'error' then self.rule = nil end
  if not compound then
    self.endphase = after(self, phase)
    return self
  end
  local body = body_of(grammar, e, id, rule, phase)
  self.body, self.recursive = body, not body.done
  if body.kind == 'branch' or body.kind == 'try' then
    -- Their own failures name the rule as the field.
    self.failure = setmetatable({ kind = e.kind, id = self.rule }, classes[e.kind])
  end
  if body.done then self.endphase = body.endphase end
  if self.recursive then grammar.recursion = true end
  return self
end

-- An entry point, which starts with a byte.
function node.entry(grammar, e, id, rule)
  local self = resolve(grammar, e, id, rule, 0)
  return { node = self, steps = group(grammar, { self }), class = self.class, entry = true }
end

-- Chains --------------------------------------------------------------------------

-- Links nodes in the order of parsing, as rules and dumps look at them. A
-- shared body is linked where it was met first.
local function link(self, follower)
  self._next = follower
  local body = self.body
  if not body or body.linked or self.recursive then return end
  body.linked = true
  if body.kind == 'record' or body.kind == 'sequence' then
    local function helper(kind)
      return setmetatable({ kind = kind, id = self.id, rule = self.rule }, classes[kind])
    end
    local start, finish = helper('record_start'), helper('record_finish')
    self._next = start
    if body.kind == 'record' then
      self._next = helper('retain')
      self._next._next = start
    end
    finish._next = follower
    start._next = body.nodes[1] or finish
    for i, member in ipairs(body.nodes) do link(member, body.nodes[i + 1] or finish) end
  else
    for _, member in ipairs(body.nodes) do link(member, follower) end
  end
end
node.link = link

node.group = group

return node
