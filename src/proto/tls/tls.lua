-- TLS for rules: the connection, and the messages of its handshake.
--
-- The engine reads the handshake; a part of a message is taken out of it when
-- it is first read, and kept in its object. `message` makes such objects for
-- QUIC too.

local host, lib = ...

local application, dispatch = lib.application, lib.dispatch
local ops, E, current = host.ops, host.engine, host.current
local to_string, byte, sub = host.ffi.string, string.byte, string.sub
local error, rawget, rawset, setmetatable, type = error, rawget, rawset, setmetatable, type
local tls_text, tls_number, tls_serial = ops.tls_text, ops.tls_number, ops.tls_serial
local new_time = lib.time.new

local NAME = 'tls'
local CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, ALERT = 0, 1, 2, 3

-- Parts by their numbers in `engine/ops/tls.rs`.
local TEXTS = {
  random = 0, session_id = 1, ciphers = 2, extensions = 3, sni = 4, alpn = 5, versions = 6,
  groups = 7, signature_algorithms = 8, point_formats = 9, compression = 10, ja3 = 11,
  ja3_string = 12, ja4 = 13, ja3s = 14, subject = 15, issuer = 16, sans = 17, sha256 = 18,
  serial = 19, name = 20, selected_alpn = 21,
}
local ANOMALY = 22
local NUMBERS = {
  version = 0, record_version = 1, quic_version = 2, ssl2 = 3, selected_version = 4, cipher = 5,
  retry = 6, not_before = 7, not_after = 8, chain_length = 9, level = 10, description = 11,
}

-- Readers ------------------------------------------------------------------------

local function raw(o, number)
  if tls_serial(E, o[' s'], o[' g'], o[' w']) ~= o[' m'] then
    error('the tls message is gone: read what you need of it in its event', 0)
  end
  local p = tls_text(E, o[' s'], o[' g'], o[' w'], number)
  if p == nil then return nil end
  local value = to_string(p, current.length)
  return value
end

local function text_of(name)
  local number = TEXTS[name]
  return function (o)
    local value = raw(o, number)
    return value
  end
end

-- Numbers of two bytes each.
local function numbers_of(name)
  local number = TEXTS[name]
  return function (o)
    local bytes, list = raw(o, number) or '', {}
    for i = 1, #bytes - 1, 2 do
      local high, low = byte(bytes, i, i + 1)
      list[#list + 1] = high * 256 + low
    end
    return list
  end
end

local function bytes_of(name)
  local number = TEXTS[name]
  return function (o)
    local bytes, list = raw(o, number) or '', {}
    for i = 1, #bytes do list[i] = byte(bytes, i) end
    return list
  end
end

-- Texts behind their lengths of two bytes.
local function texts_of(name)
  local number = TEXTS[name]
  return function (o)
    local bytes, list, at = raw(o, number) or '', {}, 1
    while at + 1 <= #bytes do
      local high, low = byte(bytes, at, at + 1)
      local length = high * 256 + low
      list[#list + 1] = sub(bytes, at + 2, at + 1 + length)
      at = at + 2 + length
    end
    return list
  end
end

local function number_of(name)
  local number = NUMBERS[name]
  return function (o)
    if tls_serial(E, o[' s'], o[' g'], o[' w']) ~= o[' m'] then
      error('the tls message is gone: read what you need of it in its event', 0)
    end
    local value = tls_number(E, o[' s'], o[' g'], o[' w'], number)
    -- What is not there is not equal to itself.
    if value ~= value then return nil end
    return value
  end
end

local function flag_of(name)
  local read = number_of(name)
  return function (o)
    local value = read(o)
    return value == 1
  end
end

local function time_of(name)
  local read = number_of(name)
  return function (o)
    local seconds = read(o)
    if seconds == nil then return nil end
    local value = new_time(seconds, 0)
    return value
  end
end

-- Messages -----------------------------------------------------------------------

-- A class of messages: `parts` by name, in the order they are printed.
local function message_class(name, which, printed, parts)
  local meta = { __name = name, __class = true }
  function meta.__index(o, key)
    local read = parts[key]
    if not read then return nil end
    -- Not in the object itself: an assignment would not be seen there.
    local known = o[' c']
    local value = known[key]
    if value == nil then
      value = read(o)
      known[key] = value
    end
    return value
  end
  function meta.__newindex(o, key, value)
    if parts[key] then error('This variable is immutable', 0) end
    rawset(o, key, value)
  end
  function meta.__members(o)
    local list = {}
    for i = 1, #printed do list[i] = { printed[i], o[printed[i]] } end
    return list
  end
  meta.__metatable = { __name = name, __class = true, __members = meta.__members }
  return { meta = meta, which = which, key = ' message' .. which }
end

local ClientHello = message_class('TlsClientHello', CLIENT_HELLO,
  { 'sni', 'alpn', 'version', 'versions', 'ciphers', 'extensions', 'ja3', 'ja4' }, {
    record_version = number_of('record_version'), version = number_of('version'),
    quic_version = number_of('quic_version'), ssl2 = flag_of('ssl2'),
    random = text_of('random'), session_id = text_of('session_id'),
    sni = text_of('sni'), ja3 = text_of('ja3'), ja3_string = text_of('ja3_string'),
    ja4 = text_of('ja4'), alpn = texts_of('alpn'), ciphers = numbers_of('ciphers'),
    extensions = numbers_of('extensions'), versions = numbers_of('versions'),
    groups = numbers_of('groups'),
    signature_algorithms = numbers_of('signature_algorithms'),
    point_formats = bytes_of('point_formats'), compression = bytes_of('compression'),
  })

local ServerHello = message_class('TlsServerHello', SERVER_HELLO,
  { 'version', 'selected_version', 'cipher', 'alpn', 'extensions', 'ja3s' }, {
    record_version = number_of('record_version'), version = number_of('version'),
    selected_version = number_of('selected_version'), cipher = number_of('cipher'),
    hello_retry_request = flag_of('retry'), random = text_of('random'),
    session_id = text_of('session_id'), alpn = text_of('selected_alpn'),
    extensions = numbers_of('extensions'), ja3s = text_of('ja3s'),
  })

local Certificate = message_class('TlsCertificate', CERTIFICATE,
  { 'subject', 'issuer', 'not_before', 'not_after', 'sans', 'sha256' }, {
    subject = text_of('subject'), issuer = text_of('issuer'), sans = texts_of('sans'),
    not_before = time_of('not_before'), not_after = time_of('not_after'),
    sha256 = text_of('sha256'), serial = text_of('serial'),
    chain_length = number_of('chain_length'),
  })

local Alert = message_class('TlsAlert', ALERT, { 'level', 'description', 'name' }, {
  level = (function ()
    local read = number_of('level')
    return function (o)
      local level = read(o)
      return level == 1 and 'warning' or 'fatal'
    end
  end)(),
  description = number_of('description'), name = text_of('name'),
})

-- The last message of a class on a connection or flow, or nil: the same
-- object for all who ask.
local function message(o, class)
  local flow = o[' f']
  local serial = tls_serial(E, flow[0], flow[1], class.which)
  local known = rawget(o, class.key)
  if serial == 0 or known and known[' m'] == serial then return known end
  local made = setmetatable(
    { [' s'] = flow[0], [' g'] = flow[1], [' w'] = class.which, [' m'] = serial, [' c'] = {} },
    class.meta)
  rawset(o, class.key, made)
  return made
end

-- Connections --------------------------------------------------------------------

local methods, getters = {}, {}
local kind = application.kind {
  name = NAME, methods = methods, getters = getters,
  attributes = { 'certificate', 'client_hello', 'name', 'server_hello' },
}

function getters.client_hello(o)
  local value = message(o, ClientHello)
  return value
end

function getters.server_hello(o)
  local value = message(o, ServerHello)
  return value
end

function getters.certificate(o)
  local value = message(o, Certificate)
  return value
end

local function with_client_hello(slot)
  local o = kind.object(slot)
  return o, message(o, ClientHello)
end

local function with_server_hello(slot)
  local o = kind.object(slot)
  return o, message(o, ServerHello)
end

local function with_certificate(slot)
  local o = kind.object(slot)
  return o, message(o, Certificate), application.direction()
end

local function with_alert(slot)
  local o = kind.object(slot)
  return o, message(o, Alert), application.direction()
end

local chunk = { message = message, ClientHello = ClientHello }

function chunk.tls()
  local kinds = host.kinds[NAME]
  local entry = application.announce(kind, {
    policies = { anomaly = { title = 'tls anomaly', kind = kinds['policy:anomaly'] } },
    forms = {
      client_hello = { form = 'flow_packet', prepare = with_client_hello },
      server_hello = { form = 'flow_packet', prepare = with_server_hello },
      certificate = { form = 'flow_packet_direction', prepare = with_certificate },
      alert = { form = 'flow_packet_direction', prepare = with_alert },
    },
  })
  local anomaly, policy = entry.policies.anomaly, lib.policy
  dispatch.define(kinds['policy:next_dissector'], { subject = 'flow', decide = function () end })
  dispatch.define(kinds['policy:anomaly'], { subject = 'flow',
    decide = function (slot)
      local o = kind.object(slot)
      local flow = o[' f']
      local p = tls_text(E, flow[0], flow[1], CLIENT_HELLO, ANOMALY)
      anomaly:evaluate(o, { anomaly = p ~= nil and to_string(p, current.length) or '' },
        { description = 'unreadable tls hello' })
    end })
  -- What the engine itself does by default.
  lib.protocol.builtin { { on = anomaly, name = 'default action',
    action = { policy.alert { severity = 'low' }, policy.drop } } }
end

return chunk
