-- Alerts: haka.alert{...}, its nodes, and the handle that updates one.
--
-- What a rule gives is checked and brought to one shape (strings and
-- numbers only) before the host sees it; texts that need rule code
-- (`__tostring`) are made here, never inside the host.

local host, lib = ...

local type, next, pairs, tostring = type, next, pairs, tostring
local getmetatable, setmetatable, error = getmetatable, setmetatable, error
local format, floor, emit = string.format, math.floor, host.alert
local is_time, sorted_pairs = lib.time.is, lib.utils.sorted_pairs

local LEVELS = { low = true, medium = true, high = true }
local COMPLETIONS = { failed = true, successful = true }

-- Handle -> alert id. Handles carry no field that a rule could change.
local ids = setmetatable({}, { __mode = 'k' })

local function is_list(value)
  return type(value) == 'table' and getmetatable(value) == nil
end

-- The highest index; a hole inside becomes `null`.
local function texts_of(values)
  local last = 0
  for key in next, values do
    if type(key) == 'number' and key >= 1 and key == floor(key) and key > last then last = key end
  end
  local texts = {}
  for i = 1, last do
    texts[i] = values[i] == nil and 'null' or tostring(values[i])
  end
  return texts
end

-- Each reader answers the normalised value, or nil and the error's text.
local read = {}

local function read_time(value, name)
  if not is_time(value) then return nil, format("expected time for '%s'", name) end
  return { secs = value.secs, nsecs = value.nsecs }
end

read.start_time, read.end_time = read_time, read_time

function read.severity(value)
  if LEVELS[value] then return value end
  return nil, format("invalid severity value '%s'", tostring(value))
end

function read.confidence(value)
  if LEVELS[value] or type(value) == 'number' then return value end
  return nil, format("invalid confidence value '%s'", tostring(value))
end

function read.completion(value)
  if COMPLETIONS[value] then return value end
  return nil, format("invalid completion value '%s'", tostring(value))
end

function read.description(value)
  return tostring(value)
end

function read.method(value)
  if not is_list(value) then return nil, 'invalid method' end
  local method = {}
  for key, field in sorted_pairs(value) do
    if key == 'description' then
      method.description = tostring(field)
    elseif key == 'ref' then
      method.ref = is_list(field) and texts_of(field) or { tostring(field) }
    else
      return nil, format("unexpected field 'method.%s'", tostring(key))
    end
  end
  return method
end

local function read_node(node, where)
  if not is_list(node) then return nil, format("expected table for '%s'", where) end
  for key in sorted_pairs(node) do
    if key ~= 'type' and key ~= 'values' then
      return nil, format("unexpected field '%s.%s'", where, tostring(key))
    end
  end
  if node.type == nil then return nil, format("expected type for '%s'", where) end
  local values = node.values
  if values == nil then values = {} end
  if not is_list(values) then values = { values } end
  return { type = tostring(node.type), values = texts_of(values) }
end

-- One node, told by its `type`, or a list of nodes.
local function read_nodes(value, name)
  if not is_list(value) or value.type ~= nil then value = { value } end
  local nodes = {}
  for key in sorted_pairs(value) do
    if type(key) ~= 'number' then
      return nil, format("unexpected field '%s.%s'", name, tostring(key))
    end
  end
  for i = 1, #value do
    local node, problem = read_node(value[i], format('%s#%d', name, i))
    if not node then return nil, problem end
    nodes[i] = node
  end
  return nodes
end

read.sources, read.targets = read_nodes, read_nodes

function read.ref(value)
  if ids[value] then value = { value } end
  if not is_list(value) then return nil, "expected alert for 'ref'" end
  local refs = {}
  for i = 1, #value do
    local id = ids[value[i]]
    if not id then return nil, format("expected alert for 'ref#%d'", i) end
    refs[i] = id
  end
  return refs
end

-- The record for the host, or nil and the error's text. Fields are read in
-- the order of their names, so that the same mistake gives the same error.
local function normalise(fields)
  if not is_list(fields) then return nil, "expected table for 'nil'" end
  local record = {}
  for key, value in sorted_pairs(fields) do
    local reader = read[key]
    if not reader then return nil, format("unexpected field '%s'", tostring(key)) end
    local field, problem = reader(value, key)
    if problem then return nil, problem end
    record[key == 'ref' and 'refs' or key] = field
  end
  return record
end

local Handle = { __metatable = { __name = 'alert' }, __tostring = lib.pprint.text_of('alert') }
local methods = {}

function Handle.__index(_, key)
  local method = methods[key]
  if method then return method end
  error(format("unknown field '%s'", tostring(key)), 0)
end

function Handle.__newindex(_, key)
  error(format("unknown field '%s'", tostring(key)), 0)
end

-- Reports the given fields under the alert's own id.
function methods:update(fields)
  local id = ids[self]
  if not id then error('alert expected', 2) end
  local record, problem = normalise(fields)
  if not record then error(problem, 2) end
  emit(id, record)
end

-- The handle of a new alert, or nil and the error's text.
local function try(fields)
  local record, problem = normalise(fields)
  if not record then return nil, problem end
  local handle = setmetatable({}, Handle)
  ids[handle] = emit(nil, record)
  return handle
end

-- New alert; an error points at the caller of the calling function.
local function raise(fields)
  local handle, problem = try(fields)
  if not handle then error(problem, 3) end
  return handle
end

local function node_of(kind)
  return function (...)
    return { type = kind, values = { ... } }
  end
end

local alert = setmetatable({
  address = node_of('address'),
  service = node_of('service'),
}, {
  __call = function (_, fields)
    local handle = raise(fields)
    return handle
  end,
})

local known = {}
for name in pairs(read) do known[name] = true end

return { alert = alert, raise = raise, try = try, known = known }
