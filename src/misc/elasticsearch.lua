-- `require('misc/elasticsearch')`: documents for a search server.
--
-- A connector turns tables into JSON and hands them over; they are sent
-- later, in order. A table is an object, or an array if its keys are 1 to n;
-- an empty one is an object. What has a text of its own, such as addresses
-- and times, is that text. Numbers are reals, as in Haka, so that a field
-- that the server takes for a number of one kind stays one.

local host, lib = ...

local native = host.misc.elasticsearch
local is_time, network_time = lib.time.is, lib.time.network
local type, error, tostring, pcall, ipairs, pairs, rawlen, rawget =
  type, error, tostring, pcall, ipairs, pairs, rawlen, rawget
local setmetatable, getmetatable = setmetatable, getmetatable
local format, gsub, byte, find, sub =
  string.format, string.gsub, string.byte, string.find, string.sub
local sort, concat, floor, huge, date = table.sort, table.concat, math.floor, math.huge, os.date

-- JSON ---------------------------------------------------------------------------

-- A document's size in characters, and how deep its tables may nest.
local LARGEST, DEEPEST = 1024 * 1024, 32

local ESCAPES = { ['"'] = '\\"', ['\\'] = '\\\\', ['\n'] = '\\n', ['\r'] = '\\r', ['\t'] = '\\t' }

local function escape(c)
  return ESCAPES[c] or format('\\u%04x', byte(c))
end

local function quoted(text)
  return '"' .. gsub(text, '[%z\1-\31\127"\\]', escape) .. '"'
end

-- 17 digits give a number back exactly; most need fewer.
local function real(number)
  local text = format('%.14g', number)
  if text + 0 ~= number then text = format('%.17g', number) end
  return find(text, '[.e]') and text or text .. '.0'
end

local encode

-- Collects text and stops at the greatest size, before it fills the memory.
local function put(out, text)
  out.size = out.size + #text
  if out.size > LARGEST then error('the document is larger than 1 MiB', 0) end
  out[#out + 1] = text
end

local function refuse(path, what)
  if #path > 60 then path = sub(path, 1, 57) .. '...' end
  error(format("'%s' %s", path, what), 0)
end

-- Names in the order of their letters: the same table gives the same text.
local function names_of(t, path)
  local names = {}
  for name in pairs(t) do
    if type(name) ~= 'string' then
      refuse(path, format('has %ss for keys; an array has 1 to n', type(name)))
    end
    names[#names + 1] = name
  end
  sort(names)
  return names
end

local function object(out, t, path, depth)
  put(out, '{')
  for i, name in ipairs(names_of(t, path)) do
    put(out, (i > 1 and ',' or '') .. quoted(name) .. ':')
    encode(out, t[name], path .. '.' .. name, depth)
  end
  put(out, '}')
end

local function array(out, t, path, depth)
  local count = 0
  for _ in pairs(t) do count = count + 1 end
  if count ~= rawlen(t) then refuse(path, 'is an array with holes or with other keys') end
  put(out, '[')
  for i = 1, count do
    if i > 1 then put(out, ',') end
    encode(out, t[i], path .. '.' .. i, depth)
  end
  put(out, ']')
end

-- Objects of the library hide their metatables.
local function has_text(value)
  local meta = getmetatable(value)
  if type(meta) == 'table' then return rawget(meta, '__tostring') ~= nil end
  return meta ~= nil
end

function encode(out, value, path, depth)
  local kind = type(value)
  if kind == 'string' then
    put(out, quoted(value))
  elseif kind == 'number' then
    if value ~= value or value == huge or value == -huge then refuse(path, 'is not finite') end
    put(out, real(value))
  elseif kind == 'boolean' then
    put(out, value and 'true' or 'false')
  elseif kind == 'table' and not has_text(value) then
    if depth == DEEPEST then refuse(path, 'is nested too deep, or contains itself') end
    if rawlen(value) > 0 then
      array(out, value, path, depth + 1)
    else
      object(out, value, path, depth + 1)
    end
  elseif kind == 'function' or kind == 'thread' then
    refuse(path, 'is a ' .. kind .. ', which cannot be stored')
  else
    put(out, quoted(tostring(value)))
  end
end

local function json(t)
  local out = { size = 0 }
  object(out, t, 'document', 1)
  return concat(out)
end

-- Connectors -----------------------------------------------------------------------

local servers = setmetatable({}, { __mode = 'k' })
local methods = {}

local Connector = {
  __name = 'elasticsearch_connector', __metatable = 'elasticsearch_connector',
  __index = function (_, key)
    return methods[key] or error(format("unknown field '%s'", tostring(key)), 2)
  end,
  __newindex = function () error('This variable is immutable', 2) end,
  __tostring = function () return 'elasticsearch_connector' end,
}

local function server_of(self)
  local server = servers[self]
  if not server then error('invalid elasticsearch connector', 3) end
  return server
end

local function check_text(value, name)
  if type(value) ~= 'string' then
    error(format('invalid parameter: %s must be a string, not a %s', name, type(value)), 3)
  end
end

local function check_table(value)
  if type(value) ~= 'table' then
    error(format('invalid parameter: the document must be a table, not a %s', type(value)), 3)
  end
end

local function send(server, index, action, kind, id, document)
  local ok, body = pcall(json, document)
  if not ok then error('invalid parameter: ' .. tostring(body), 3) end
  local problem = native.store(server, index, action, kind, id, body)
  if problem then error('invalid parameter: ' .. problem, 3) end
end

-- Makes an index with these settings and mappings; one that is there stays.
function methods.newindex(self, index, settings)
  local server = server_of(self)
  check_text(index, 'index')
  check_table(settings)
  send(server, index, 'newindex', nil, nil, settings)
end

-- Stores a document. One without an id gets it here and not from the server,
-- so that it is not stored twice when it has to be sent twice.
function methods.insert(self, index, kind, id, document)
  local server = server_of(self)
  check_text(index, 'index')
  check_text(kind, 'type')
  if id ~= nil then check_text(id, 'id') end
  check_table(document)
  send(server, index, 'insert', kind, id or native.genid(), document)
end

-- Changes the given fields of a document.
function methods.update(self, index, kind, id, document)
  local server = server_of(self)
  check_text(index, 'index')
  check_text(kind, 'type')
  check_text(id, 'id')
  check_table(document)
  send(server, index, 'update', kind, id, document)
end

-- A time as text in the server's layout, in UTC.
function methods.timestamp(self, time)
  server_of(self)
  if time == nil then time = network_time() end
  if not is_time(time) then
    error(format("invalid parameter: expected a time, got a %s", type(time)), 2)
  end
  return date('!%Y/%m/%d %H:%M:%S', floor(time.secs))
end

-- An id that no other document has.
function methods.genid(self)
  server_of(self)
  return native.genid()
end

local function connector(url)
  if type(url) ~= 'string' then
    error(format('invalid parameter: the server must be a string, not a %s', type(url)), 2)
  end
  local server, problem = native.server(url)
  if not server then error('invalid parameter: ' .. problem, 2) end
  local self = setmetatable({}, Connector)
  servers[self] = server
  return self
end

return function ()
  return { connector = connector }
end
