-- DNS as rules see it: messages, their sections, the events.
--
-- Messages and lists are flyweights like the records in them (`records.lua`).
-- In lists, whose records begin at one, slot and generation have names.

local host, lib = ...

local protocol, application, records = lib.protocol, lib.application, lib['proto/dns/records']
local st, check = lib.native.st, lib.native.check
local ops, E, current = host.ops, host.engine, host.current
local M, MASK = host.dns, host.dns_mask
local F, FLOW_MASK = host.flows, host.flow_mask
local is_address = lib.address.is
local error, ipairs, load, pairs, rawget, rawset, setmetatable, tonumber, tostring, type =
  error, ipairs, load, pairs, rawget, rawset, setmetatable, tonumber, tostring, type
local band, floor, format = bit.band, math.floor, string.format
local Question, Record, entry, item_of =
  records.Question, records.Record, records.entry, records.item_of
local record, stale, immutable, guard =
  records.message, records.stale, records.immutable, records.guard
local write, integer, refused, type_number =
  records.write, records.integer, records.refused, records.type_number

local NAME, TCP = 'dns', 6
-- "No slot", in `current`.
local NONE = 0xffffffff
local ALL = 0xffffffff

local RCODES = { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 }

-- Sections -----------------------------------------------------------------------

local SECTIONS = { [0] = 'questions', 'answer', 'authority', 'additional' }
local metas = {}

local function section(s, g, number)
  local list = setmetatable({ [' s'] = s, [' g'] = g }, metas[number])
  return list
end

-- The message that a list is of.
local function message_of(list)
  local m = M[band(list[' s'], MASK)]
  if m.generation ~= list[' g'] then stale() end
  return m
end

local function length(list, number)
  local m = message_of(list)
  return m.first[number + 1] - m.first[number]
end

local function element(list, number, index)
  local m = message_of(list)
  local first = m.first[number]
  local i = first + index - 1
  -- No other numbers than 1 to the length.
  if i < first or i >= m.first[number + 1] or i % 1 ~= 0 then return nil end
  local o = entry(list[' s'], list[' g'], m.items[i].number, number == 0 and Question or Record)
  return o
end

local message

-- Adds a record: `name` (that of the question), `type`, `class`, `ttl` (60)
-- and `ip`, or `data` in master-file form.
local function append(list, number, init)
  local s, g = list[' s'], list[' g']
  if type(init) ~= 'table' then error('a table that describes the record expected', 0) end
  local ip, data, kind = init.ip, init.data, init.type
  if ip ~= nil then
    if not is_address(ip) then error("ip: expected 'addr' got '" .. type(ip) .. "'", 0) end
    data, kind = tostring(ip), kind or (ip.family == 4 and 1 or 28)
  end
  if kind == nil then error('a record needs a type', 0) end
  if data == nil and number ~= 0 then error('a record needs ip or data', 0) end
  local question = section(s, g, 0)[1]
  local name = init.name or question and question.name or ''
  name, data = tostring(name), tostring(data or '')
  local class = integer(init.class or 1, 65536, 'class')
  local ttl = integer(init.ttl or 60, 4294967296, 'ttl')
  refused(ops.dns_append(E, s, g, number, type_number(kind),
    class * 0x100000000ULL + ttl, name, #name, data, #data))
  return list[#list]
end

-- Removes a record, by its place or itself.
local function take_out(list, number, which)
  local found = type(which) == 'number' and list[which]
  if type(which) ~= 'number' then
    for i = 1, #list do
      if list[i] == which then found = which end
    end
  end
  if not found then return end
  local _, _, i = item_of(found)
  check(ops.dns_remove(E, list[' s'], list[' g'], number, i), 'dns message')
end

local function clear(list, number)
  check(ops.dns_remove(E, list[' s'], list[' g'], number, ALL), 'dns message')
end

local function following(list, i)
  local o = list[i + 1]
  if o then return i + 1, o end
end

local function each(list)
  return following, list, 0
end

-- Reads are functions of each section's own: see the objects of packets.
local LIST = [[
local number, methods, element, length, type = ...
return function (list, key)
  if type(key) == 'number' then
    local o = element(list, number, key)
    return o
  end
  return methods[key]
end, function (list)
  local count = length(list, number)
  return count
end
]]

for number = 0, 3 do
  local methods = {
    append = function (list, init) return append(list, number, init) end,
    remove = function (list, which) return take_out(list, number, which) end,
    clear = function (list) return clear(list, number) end,
  }
  local meta = { __name = 'ArrayResult', __pairs = each, __ipairs = each }
  meta.__index, meta.__len = load(LIST, '=[wero]/list', 't')(number, methods, element, length, type)
  function meta.__newindex() immutable() end
  function meta.__eq(left, right)
    return left[' s'] == right[' s'] and left[' g'] == right[' g']
  end
  function meta.__members(list)
    local found = {}
    for i = 1, #list do found[i] = { i, list[i] } end
    return found
  end
  metas[number] = guard(meta)
end

-- Messages -----------------------------------------------------------------------

-- Numbers of the header: offset, width, mask, and what the lowest bit counts.
local FIELDS = {
  id = { 0, 2, 0xffff, 1 }, opcode = { 2, 1, 0x78, 8 }, rcode = { 3, 1, 0x0f, 1 },
  qdcount = { 4, 2, 0xffff, 1 }, ancount = { 6, 2, 0xffff, 1 },
  nscount = { 8, 2, 0xffff, 1 }, arcount = { 10, 2, 0xffff, 1 },
}
local FLAGS = {
  qr = { 2, 0x80 }, aa = { 2, 0x04 }, tc = { 2, 0x02 }, rd = { 2, 0x01 },
  ra = { 3, 0x80 }, ad = { 3, 0x20 }, cd = { 3, 0x10 },
}

local getters, setters = {}, {}

for key, field in pairs(FIELDS) do
  local at, width, mask, unit = field[1], field[2], field[3], field[4]
  if width == 2 then
    getters[key] = function (o)
      local m = M[band(o[0], MASK)]
      if m.generation ~= o[1] then stale() end
      local d = m.data
      return d[at] * 256 + d[at + 1]
    end
  else
    getters[key] = function (o)
      local m = M[band(o[0], MASK)]
      if m.generation ~= o[1] then stale() end
      return band(m.data[at], mask) / unit
    end
  end
  setters[key] = function (o, value)
    if key == 'rcode' then value = RCODES[value] or value end
    write(o, at, width, mask, integer(value, floor(mask / unit) + 1, key) * unit)
  end
end

for key, flag in pairs(FLAGS) do
  local at, mask = flag[1], flag[2]
  getters[key] = function (o)
    local m = M[band(o[0], MASK)]
    if m.generation ~= o[1] then stale() end
    return band(m.data[at], mask) ~= 0
  end
  setters[key] = function (o, value)
    if type(value) ~= 'boolean' then
      error(format("Error in %s (arg 2), expected 'bool' got '%s'", key, type(value)), 0)
    end
    write(o, at, 1, mask, value and mask or 0)
  end
end

for number, key in pairs(SECTIONS) do
  getters[key] = function (o)
    record(o)
    local list = section(o[0], o[1], number)
    return list
  end
end

-- The first question; Haka knew of no other.
function getters.question(o)
  local m = record(o)
  if m.first[1] == 0 then return nil end
  local question = entry(o[0], o[1], m.items[0].number, Question)
  return question
end

local methods = {}

-- Drops the message: its datagram, or its bytes of the stream.
function methods.drop(o)
  check(ops.dns_drop(E, o[0], o[1], st.kind, st.cur), 'dns message')
  st.stop = true
end

-- Leaves nothing but the question: there is no such name.
function methods.nxdomain(o)
  o.rcode = 3
  o.answer:clear()
end

-- Answers a query in the server's place, which does not get it. `init`: ip
-- (one or a list), ttl, rcode. The response may be changed further until the
-- listener returns.
function methods.reply(o, init)
  local slot = tonumber(ops.dns_reply(E, o[0], o[1], st.kind, st.cur))
  if slot < 0 then check(-slot, 'dns message') end
  st.stop = true
  local response = message(slot)
  if init == nil then return response end
  if init.rcode ~= nil then response.rcode = init.rcode end
  local addresses = init.ip
  if is_address(addresses) then addresses = { addresses } end
  for _, ip in ipairs(addresses or {}) do
    response.answer:append { ip = ip, ttl = init.ttl }
  end
  return response
end

local Result = { __name = 'DnsResult' }
local cache = {}

function Result.__eq(left, right)
  return left[0] == right[0] and left[1] == right[1]
end

function Result.__index(o, key)
  local get = getters[key]
  if get then
    local value = get(o)
    return value
  end
  return methods[key]
end

function Result.__newindex(o, key, value)
  local set = setters[key]
  if set then return set(o, value) end
  if getters[key] or methods[key] then immutable() end
  rawset(o, key, value)
  cache[o[0] + 1] = o
end

-- Lists before numbers, each in the order of their names.
local LISTS = { 'additional', 'answer', 'authority', 'question' }
local SCALARS = { 'aa', 'ancount', 'arcount', 'id', 'nscount', 'opcode', 'qdcount', 'qr', 'ra',
  'rcode', 'rd', 'tc' }

function Result.__members(o)
  local list = {}
  for _, key in ipairs(LISTS) do list[#list + 1] = { key, o[key] } end
  for _, key in ipairs(SCALARS) do list[#list + 1] = { key, o[key] } end
  return list
end
guard(Result)

local function fresh_message(slot)
  local o = setmetatable({ [0] = slot, M[band(slot, MASK)].generation }, Result)
  return o
end

-- The object of a message, the same for all events that it takes part in.
message = function (slot)
  local o = cache[slot + 1]
  if o and rawget(o, 1) == M[band(slot, MASK)].generation and rawget(o, 0) == slot then return o end
  o = fresh_message(slot)
  cache[slot + 1] = o
  return o
end

-- Flows --------------------------------------------------------------------------

local function flow_object(slot)
  if F[band(slot, FLOW_MASK)].protocol == TCP then
    local flow = lib.tcp_flow.object(slot)
    return flow
  end
  local flow = lib.udp_flow.object(slot)
  return flow
end

local kind = application.kind {
  name = NAME, methods = {}, getters = {}, attributes = { 'name' }, flow_object = flow_object,
}

-- Events -------------------------------------------------------------------------

-- Fields and methods of messages that let nothing of them go.
local SAFE = { drop = true, nxdomain = true, reply = true }
for key in pairs(getters) do SAFE[key] = true end

local function row(place)
  return { place = place, kept = message, fresh = fresh_message, safe = SAFE }
end

local function with_query(query_of)
  return function (slot) return kind.object(slot), query_of(current.detail) end
end

-- A response that nobody waited for has no query.
local function with_response(response_of, query_of)
  return function (slot)
    local query
    if current.fresh ~= NONE then query = query_of(current.fresh) end
    return kind.object(slot), response_of(current.detail), query
  end
end

return function ()
  local entry = application.announce(kind, {
    forms = {
      query = { form = 'flow_packet', shows = { row(2) }, make = with_query },
      response = { form = 'flow_packet_direction',
        shows = { row(2), row(3) }, make = with_response },
    },
  })
  lib.dispatch.define(host.kinds[NAME]['policy:next_dissector'],
    { subject = 'flow', decide = function () end })
  -- Where datagrams are DNS, as the engine decides by itself.
  local chosen = rawget(lib.dissector.dissectors, 'udp_connection').policies.next_dissector
  for _, port in ipairs(host.modules['protocol/' .. NAME].udp_ports) do
    protocol.builtin { { on = chosen, name = NAME, port = port, action = entry.install } }
  end
  return true
end
