-- What protocols of lines (SMTP, FTP, SSH) have in common for rules: messages
-- whose lines can be read and changed.
--
-- A message object is the flow it belongs to and a number; what it shows is
-- read from the engine when asked for, and what rules write is checked
-- there. Keys of the objects' own begin with a blank.

local host, lib = ...

local native, application, data = lib.native, lib.application, lib.flow_data
local ops, E, current = host.ops, host.engine, host.current
local to_string = host.ffi.string
local line_text, line_set = ops.line_text, ops.line_set
local error, rawset, setmetatable, tonumber, tostring =
  error, rawset, setmetatable, tonumber, tostring
local find, format, match, sub = string.find, string.format, string.match, string.sub

local STALE, READ_ONLY, BAD_VALUE = 1, 2, 11

local dialogue = {}

-- Lines ---------------------------------------------------------------------------

-- A line of a message by its place from 0, without its end; nil behind the last.
local function text_at(o, index)
  local p = line_text(E, o[' s'], o[' g'], o[' m'], index)
  if p == nil then return nil end
  local text = to_string(p, current.length)
  return text
end

local function set_at(o, index, text)
  local status = line_set(E, o[' s'], o[' g'], o[' m'], index, text, #text)
  if status == 0 then return end
  if status == STALE or status == READ_ONLY then
    error(format('the %s message has left, or cannot be changed', o[' n']), 0)
  elseif status == BAD_VALUE then
    error('a line cannot hold a line break or more than 4096 bytes', 0)
  end
  native.check(status, o[' n'] .. ' message')
end

-- Nil once the message is gone, as is all that is read of it.
local function first(o)
  local text = text_at(o, 0)
  return text
end

-- A getter of what a pattern finds in the line.
local function part(pattern)
  return function (o)
    local text = text_at(o, 0)
    if not text then return nil end
    local value = match(text, pattern)
    return value
  end
end

-- Classes of messages ---------------------------------------------------------------

-- `getters` and `setters` by field; `printed`, the fields in the order that
-- they are printed.
local function message_class(name, getters, setters, printed)
  local meta = { __name = name }
  function meta.__index(o, key)
    local get = getters[key]
    if get then
      local value = get(o)
      return value
    end
  end
  function meta.__newindex(o, key, value)
    if setters[key] then return setters[key](o, value) end
    if getters[key] then error('This variable is immutable', 0) end
    rawset(o, key, value)
  end
  function meta.__members(o)
    local list = {}
    for i = 1, #printed do list[#list + 1] = { printed[i], o[printed[i]] } end
    return list
  end
  meta.__metatable = { __name = name, __class = true, __members = meta.__members }
  return meta
end

local verb_of = part('^%s*(%S*)')
local parameter_of = part('^%s*%S+%s+(.-)%s*$')

local function set_command(o, verb, parameter)
  local text = tostring(verb)
  if parameter ~= nil then text = text .. ' ' .. tostring(parameter) end
  set_at(o, 0, text)
end

local function set_verb(o, value) set_command(o, value, parameter_of(o)) end
local function set_parameter(o, value) set_command(o, verb_of(o), value) end
local function set_line(o, value) set_at(o, 0, tostring(value)) end

-- A line of a client: verb and parameter, under both of their names.
local Command = message_class('command', {
  command = verb_of, name = verb_of, parameter = parameter_of, argument = parameter_of,
  line = first,
}, {
  command = set_verb, name = set_verb, parameter = set_parameter, argument = set_parameter,
  line = set_line,
}, { 'command', 'parameter' })

local function line_of(l)
  return text_at(l[' of'], l[' i']) or ''
end

local Line = message_class('reply line', {
  line = line_of,
  code = function (l) return match(line_of(l), '^(%d%d%d)') end,
  separator = function (l) return match(line_of(l), '^%d%d%d([- ])') end,
  text = function (l)
    local line = line_of(l)
    return match(line, '^%d%d%d[- ](.*)$') or match(line, '^%d%d%d$') and '' or line
  end,
}, {
  line = function (l, value) set_at(l[' of'], l[' i'], tostring(value)) end,
  text = function (l, value)
    local head = match(line_of(l), '^%d%d%d[- ]')
      or match(line_of(l), '^%d%d%d$') and line_of(l) .. ' ' or ''
    set_at(l[' of'], l[' i'], head .. tostring(value))
  end,
}, { 'code', 'text' })

local function lines_of(o)
  local lines, index = {}, 0
  while text_at(o, index) do
    lines[index + 1] = setmetatable({ [' of'] = o, [' i'] = index, [' n'] = o[' n'] }, Line)
    index = index + 1
  end
  return lines
end

local function last_line(o)
  local index = 0
  local text = first(o) or ''
  while true do
    index = index + 1
    local next = text_at(o, index)
    if not next then return text end
    text = next
  end
end

local Response = message_class('response', {
  code = function (o) return tonumber(match(last_line(o), '^(%d%d%d)')) end,
  lines = lines_of,
}, {
  code = function (o, value)
    local code = tonumber(value)
    if not code or code < 100 or code > 999 or code % 1 ~= 0 then
      error('a reply code has three digits', 0)
    end
    local index = 0
    while true do
      local text = text_at(o, index)
      if not text then return end
      if find(text, '^%d%d%d') then set_at(o, index, format('%d%s', code, sub(text, 4))) end
      index = index + 1
    end
  end,
}, { 'code', 'lines' })

local classes = { command = Command, response = Response }

dialogue.class = message_class
dialogue.first, dialogue.part = first, part
dialogue.set_first = set_line

local function message(kind, slot, class)
  local o = kind.object(slot)
  local flow = o[' f']
  return o, setmetatable({ [' s'] = flow[0], [' g'] = flow[1], [' m'] = current.detail,
    [' n'] = kind.name }, class)
end

-- Forms of events, for `application.announce` ------------------------------------------

-- A message; `class` is 'command', 'response' or a class of the protocol's own.
function dialogue.message_form(kind, class)
  class = classes[class] or class
  return { form = 'flow_packet', prepare = function (slot)
    local o, m = message(kind, slot, class)
    return o, m
  end }
end

-- Facts: a table made of the lines, by `make(line, ...)`.
function dialogue.facts_form(kind, make)
  return { form = 'flow_packet', prepare = function (slot)
    local o, m = message(kind, slot, Command)
    return o, make(o, text_at(m, 0), text_at(m, 1), text_at(m, 2))
  end }
end

function dialogue.anomaly_form(kind)
  return dialogue.facts_form(kind, function (_, event, detail)
    return { event = event, detail = detail }
  end)
end

-- Content as a stream.
function dialogue.content_form(kind)
  return { form = 'flow_data', prepare = function (slot)
    local o = kind.object(slot)
    local stream, piece = data.open(o)
    return o, stream, nil, piece
  end }
end

-- Makes the kind of a protocol's connections.
function dialogue.kind(name, getters)
  return application.kind { name = name, methods = {}, getters = getters or {},
    attributes = { 'name' } }
end

return dialogue
