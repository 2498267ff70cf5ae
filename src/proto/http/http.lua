-- HTTP as rules see it: the connection, its messages, their headers.
--
-- A message object is the flow it belongs to and a number; what it shows is
-- read from the engine when asked for, and what rules write is checked
-- there. Keys of the objects' own begin with a blank, which no header name
-- has. Objects of headers are made whenever they are asked for, and are equal.

local host, lib = ...

local native, protocol, application, dispatch, data = lib.native, lib.protocol, lib.application,
  lib.dispatch, lib.flow_data
local direction = application.direction
local ops, E, current = host.ops, host.engine, host.current
local F, FLOW_MASK, band = host.flows, host.flow_mask, bit.band
local to_string = host.ffi.string
local rawget, rawset, setmetatable, type, tostring, error =
  rawget, rawset, setmetatable, type, tostring, error
local format, sort, lower = string.format, table.sort, string.lower
local http_field, http_header, http_line = ops.http_field, ops.http_header, ops.http_line
local utils = lib['proto/http/utils']()
local split_uri, split_cookies = utils.uri.split, utils.cookies.split

local NAME = 'http'
local REQUEST, RESPONSE, STATE = 0, 1, 2
local SET, ADD, REMOVE = 0, 1, 2
local STALE, READ_ONLY, FULL, BAD_FIELD, BAD_NAME, BAD_VALUE = 1, 2, 4, 9, 10, 11

-- Errors -------------------------------------------------------------------------

-- What a field must look like, as its error says it.
local PATTERNS = {
  method = '[^()<>@,;:\\"/[]?={}[:blank:]]+', uri = '[[:alnum:][:punct:]]+',
  version = '[0-9]+\\.[0-9]+', status = '[0-9]{3}', reason = '[^\\r\\n]*',
  name = '[^:[:blank:]]+', value = '[^\\r\\n]*',
}

local function refuse(status, what, value)
  if status == BAD_FIELD or status == BAD_NAME or status == BAD_VALUE then
    local name = status == BAD_NAME and 'name' or status == BAD_VALUE and 'value' or what
    error(format("token value '%s' does not verify /%s/", tostring(value), PATTERNS[name]), 0)
  elseif status == READ_ONLY then
    error('read only buffer', 0)
  elseif status == STALE then
    error('the http message is gone: keep what you need of it', 0)
  elseif status == FULL then
    error('too many headers added', 0)
  end
  native.check(status, 'http message')
end

-- Headers ------------------------------------------------------------------------

local Headers = { __name = 'HeaderResult', __class = true }

-- Name and value of the line at an index from 0; `part` is 2 for trailers.
local function line(h, index)
  local s, g, m, part = h[' s'], h[' g'], h[' m'], h[' p']
  local p = http_line(E, s, g, m, index, part)
  if p == nil then return nil end
  local name = to_string(p, current.length)
  p = http_line(E, s, g, m, index, part + 1)
  return name, to_string(p, current.length)
end

local function count(h)
  local n = 0
  while http_line(E, h[' s'], h[' g'], h[' m'], n, h[' p']) ~= nil do n = n + 1 end
  return n
end

function Headers.__index(h, key)
  if type(key) == 'string' then
    if h[' p'] ~= 0 then
      for i = 0, count(h) - 1 do
        local name, value = line(h, i)
        if lower(name) == lower(key) then return value end
      end
      return nil
    end
    local p = http_header(E, h[' s'], h[' g'], h[' m'], key, #key)
    if p == nil then return nil end
    local value = to_string(p, current.length)
    return value
  end
  if type(key) == 'number' and key >= 1 then
    local name, value = line(h, key - 1)
    if name then return { name = name, value = value } end
  end
end

local function write(h, how, name, value)
  if type(name) ~= 'string' then error('a header is named by a string', 0) end
  if h[' p'] ~= 0 then error('read only buffer', 0) end
  local text = value == nil and '' or tostring(value)
  local status = ops.http_set_header(E, h[' s'], h[' g'], h[' m'], how, name, #name, text, #text)
  if status ~= 0 then refuse(status, name, status == BAD_NAME and name or text) end
end

function Headers.__newindex(h, name, value)
  write(h, value == nil and REMOVE or SET, name, value)
end

function Headers.__len(h)
  local n = count(h)
  return n
end

function Headers.__pairs(h)
  local index = -1
  return function ()
    index = index + 1
    return line(h, index)
  end
end

function Headers.__eq(left, right)
  return left[' m'] == right[' m'] and left[' s'] == right[' s'] and left[' g'] == right[' g']
    and left[' p'] == right[' p']
end

-- For debug.pprint: by name, as Haka lists them.
function Headers.__members(h)
  local list = {}
  for i = 0, count(h) - 1 do
    local name, value = line(h, i)
    list[#list + 1] = { name, value, i }
  end
  sort(list, function (a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[3] < b[3]
  end)
  return list
end

local function guard(meta)
  meta.__metatable = { __name = meta.__name, __class = true, __members = meta.__members,
    __pairs = meta.__pairs }
  return meta
end
guard(Headers)

local function headers_of(o, part)
  return setmetatable({ [' s'] = o[' s'], [' g'] = o[' g'], [' m'] = o[' m'], [' p'] = part },
    Headers)
end

-- Messages -----------------------------------------------------------------------

local message_methods = {}

-- Adds a header even where there is one of that name.
function message_methods.add_header(o, name, value)
  write(o.headers, ADD, name, value)
end

-- The object in which rules store something of a message: one for all that are
-- made of it. `kept_of` is nil while there is none.
local keep, kept_of

-- Parts of the start line by their number, in the order they are printed.
-- `place` is where the connection keeps its message of the kind.
local function message_class(name, place, fields, printed, computed)
  local meta = { __name = name }
  local function part(o, key)
    local p = http_field(E, o[' s'], o[' g'], o[' m'], fields[key])
    if p == nil then return nil end
    local text = to_string(p, current.length)
    return text
  end
  function meta.__index(o, key)
    if fields[key] then
      local text = part(o, key)
      return text
    end
    if key == 'headers' or key == 'trailers' then
      local headers = headers_of(o, key == 'headers' and 0 or 2)
      return headers
    elseif message_methods[key] then
      return message_methods[key]
    end
    local known = kept_of(o, place)
    local value = known and rawget(known, key)
    if value == nil and computed[key] then
      value = computed[key](o)
      rawset(keep(o, place), key, value)
    end
    return value
  end
  function meta.__eq(left, right)
    return left[' m'] == right[' m'] and left[' s'] == right[' s'] and left[' g'] == right[' g']
  end
  function meta.__newindex(o, key, value)
    local number = fields[key]
    if number then
      local text = tostring(value)
      local status = ops.http_set_field(E, o[' s'], o[' g'], o[' m'], number, text, #text)
      if status ~= 0 then refuse(status, key, text) end
      return
    end
    if key == 'headers' or key == 'trailers' or computed[key] or message_methods[key] then
      error('This variable is immutable', 0)
    end
    rawset(keep(o, place), key, value)
  end
  function meta.__members(o)
    local list = { { 'headers', o.headers } }
    for i = 1, #printed do list[#list + 1] = { printed[i], o[printed[i]] } end
    return list
  end
  return guard(meta)
end

local Request = message_class('HttpRequestResult', ' request', { method = 0, uri = 1, version = 2 },
  { 'method', 'uri', 'version', 'split_cookies', 'split_uri' }, {
    split_uri = function (o) return split_uri(o.uri) end,
    split_cookies = function (o) return split_cookies(o.headers['Cookie']) end,
  })

local Response = message_class('HttpResponseResult', ' response',
  { version = 0, status = 1, reason = 2 },
  { 'reason', 'status', 'version', 'split_cookies' }, {
    split_cookies = function (o) return split_cookies(o.headers['Set-Cookie']) end,
  })

-- Connections --------------------------------------------------------------------

local methods, getters = {}, {}
local kind = application.kind {
  name = NAME, methods = methods, getters = getters, attributes = { 'name', 'state' },
  fresh = function (o) o[' b'], o[' head'] = 0, false end,
}

local function fresh_message(o, serial, class)
  local flow = o[' f']
  local made = setmetatable({ [' s'] = flow[0], [' g'] = flow[1], [' m'] = serial }, class)
  return made
end

-- The latest two messages of a kind are kept.
local function known_message(o, serial, place)
  local known = rawget(o, place)
  if known and known[' m'] == serial then return known end
  known = rawget(o, ' last' .. place)
  if known and known[' m'] == serial then return known end
end

local function keep_in(o, made, place)
  rawset(o, ' last' .. place, rawget(o, place))
  rawset(o, place, made)
end

-- The connection of a message, unless it is gone or was handed over.
local function connection_of(made)
  local slot = made[' s']
  if F[band(slot, FLOW_MASK)].generation ~= made[' g'] then return nil end
  local o = kind.known(slot)
  return o
end

kept_of = function (made, place)
  local o = connection_of(made)
  local known = o and known_message(o, made[' m'], place)
  return known
end

keep = function (made, place)
  local o = connection_of(made)
  if not o then return made end
  local known = known_message(o, made[' m'], place)
  if known then return known end
  keep_in(o, made, place)
  return made
end

-- The object of a message, the same for all who ask.
local function message(o, serial, class, place)
  local known = known_message(o, serial, place)
  if known then return known end
  local made = fresh_message(o, serial, class)
  keep_in(o, made, place)
  return made
end

local STATES = { [0] = 'request', 'response', 'connect' }

local function current_message(o, which)
  local flow = o[' f']
  return ops.http_current(E, flow[0], flow[1], which, o[' b'])
end

function getters.state(o) return STATES[current_message(o, STATE)] end

function getters.request(o)
  local serial = current_message(o, REQUEST)
  if serial ~= 0 then return message(o, serial, Request, ' request') end
end

function getters.response(o)
  local serial = current_message(o, RESPONSE)
  if serial ~= 0 then return message(o, serial, Response, ' response') end
end

local UNSUPPORTED = 3

-- The message whose head the event is about.
local function head_of(o, what)
  local serial = o[' head']
  if not serial or serial ~= current.detail then
    error(format('%s can only be called in the events request and response', what), 0)
  end
  return serial
end

local function settle(status)
  if status == UNSUPPORTED then
    error('a body is either decoded or modified, not both', 0)
  elseif status ~= 0 then
    refuse(status)
  end
end

-- Rules may change the size of the body that follows the head of this event.
function methods.enable_data_modification(o)
  local flow, serial = o[' f'], head_of(o, 'enable_data_modification')
  settle(ops.http_resize(E, flow[0], flow[1], serial))
end

-- Listeners get that body without its content codings, to read.
function methods.enable_data_decoding(o)
  local flow, serial = o[' f'], head_of(o, 'enable_data_decoding')
  local decoded = ops.http_decode(E, flow[0], flow[1], serial)
  if decoded < 0 then settle(-decoded) end
  return decoded == 1
end

-- The object of a connection. ` b` tells whether the event is about a body,
-- ` head` whose head it is about.
local function object(slot, of_body, serial)
  local o = kind.object(slot)
  rawset(o, ' b', of_body)
  rawset(o, ' head', serial)
  return o
end

-- Events -------------------------------------------------------------------------

-- Fields and methods of messages that let nothing of them go.
local SAFE = { headers = true, trailers = true, add_header = true, method = true, uri = true,
  version = true, status = true, reason = true, split_uri = true, split_cookies = true }
local MESSAGES = { { place = 2, kept = message, fresh = fresh_message, safe = SAFE } }

local function with_message(class, place)
  return function (message_of)
    return function (slot)
      local serial = current.detail
      local o = object(slot, 0, serial)
      return o, message_of(o, serial, class, place)
    end
  end
end

local function with_data(slot)
  local o = object(slot, 1, false)
  local stream, piece = data.open(o)
  return o, stream, direction(), piece
end

-- For the events of one direction.
local function with_body(slot)
  local o = object(slot, 1, false)
  local stream, piece = data.open(o)
  return o, stream, nil, piece
end

local function define_policies(entry)
  local kinds, policy = host.kinds[NAME], lib.policy
  local anomaly = entry.policies.anomaly
  dispatch.define(kinds['policy:next_dissector'], { subject = 'flow', decide = function () end })
  dispatch.define(kinds['policy:anomaly'], { subject = 'flow',
    decide = function (slot)
      local row = host.http_anomalies[current.detail]
      anomaly:evaluate(object(slot, 0, false), { anomaly = row.name, nature = row.nature },
        { description = row.alert })
    end })
  -- What the engine itself does by default.
  local accepted = {}
  for i = 0, #host.http_anomalies do
    local row = host.http_anomalies[i]
    if not row.refused then accepted[#accepted + 1] = row.name end
  end
  protocol.builtin { { on = anomaly, name = 'default action',
    action = { policy.alert { severity = 'low' }, policy.drop } } }
  if #accepted > 0 then
    protocol.builtin { { on = anomaly, name = 'default reading', anomaly = policy.set(accepted),
      action = policy.accept } }
  end
end

return function ()
  local entry = application.announce(kind, {
    policies = { anomaly = { title = 'http anomaly', kind = host.kinds[NAME]['policy:anomaly'] } },
    forms = {
      request = { form = 'flow_packet', shows = MESSAGES,
        make = with_message(Request, ' request') },
      response = { form = 'flow_packet', shows = MESSAGES,
        make = with_message(Response, ' response') },
      receive_data = { form = 'flow_data', prepare = with_data },
      request_data = { form = 'flow_data', prepare = with_body },
      response_data = { form = 'flow_data', prepare = with_body },
    },
  })
  define_policies(entry)
  return utils
end
