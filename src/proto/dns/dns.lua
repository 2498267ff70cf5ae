-- DNS as rules see it: messages with their question and records.
--
-- A message is read in place, in the engine's bytes; what an object holds is
-- a slot and a generation, which every access compares. Names and data are
-- made into text when they are read. Objects of records are made with the
-- first look at their section and keep their place when others are removed.
-- What is the library's own stands under small numbers, since an array is
-- one block of memory where names would take two: [0] is the slot and [1]
-- the generation; [2] is a record's place in the message, or the first
-- question of a message, and [3] to [6] are the lists of its sections. Of a
-- list, [0] is the message.

local host, lib = ...

local native, protocol, application = lib.native, lib.protocol, lib.application
local st, check = native.st, native.check
local ops, E, current = host.ops, host.engine, host.current
local M, MASK = host.dns, host.dns_mask
local F, FLOW_MASK = host.flows, host.flow_mask
local TYPES = host.dns_types
local to_string = host.ffi.string
local new_table = require('table.new')
local new_address, is_address = lib.address.new, lib.address.is
local error, ipairs, pairs, rawget, rawset, setmetatable, tonumber, tostring, type =
  error, ipairs, pairs, rawget, rawset, setmetatable, tonumber, tostring, type
local band, byte, concat, floor, format, gmatch, match, remove, sort, sub, upper =
  bit.band, string.byte, table.concat, math.floor, string.format, string.gmatch, string.match,
  table.remove, table.sort, string.sub, string.upper

local NAME, TCP = 'dns', 6
-- "No slot", in `current`.
local NONE = 0xffffffff
local ALL = 0xffffffff

local NUMBERS = {}
for number, name in pairs(TYPES) do NUMBERS[name] = number end

local RCODES = { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 }

local function stale() error('invalid dns message', 0) end
local function removed() error('invalid dns record', 0) end
local function immutable() error('This variable is immutable', 0) end

local function record(o)
  local m = M[band(o[0], MASK)]
  if m.generation ~= o[1] then stale() end
  return m
end

-- Writing ------------------------------------------------------------------------

local function write(o, at, width, mask, value)
  check(ops.dns_write(E, o[0], o[1], at, width, mask, value), 'dns message')
end

-- A number that goes into a field of that many values, cut like any other.
local function integer(value, range, key)
  local number = tonumber(value)
  if not number then
    error(format("Error in %s (arg 2), expected 'number' got '%s'", key, type(value)), 0)
  end
  if number < 0 then error('number must not be negative', 0) end
  number = floor(number) % range
  return number == number and number or 0
end

local function refused(p)
  if p == nil then return end
  error(to_string(p, current.length), 0)
end

local function set_data(o, text)
  refused(ops.dns_set_data(E, o[0], o[1], o[2], text, #text))
end

local function set_owner(o, value)
  local name = tostring(value)
  local status = ops.dns_set_owner(E, o[0], o[1], o[2], name, #name)
  if status == 10 then error(format("invalid domain name '%s'", name), 0) end
  check(status, 'dns message')
end

local function type_number(value)
  if type(value) == 'string' then
    local name = upper(value)
    local number = NUMBERS[name] or tonumber(match(name, '^TYPE(%d+)$'))
    if number then return number end
  elseif type(value) == 'number' and value >= 0 and value < 65536 then
    return floor(value)
  end
  error(format("unknown type of record '%s'", tostring(value)), 0)
end

-- Reading ------------------------------------------------------------------------

local function text_at(o, at)
  local p = ops.dns_name(E, o[0], o[1], at)
  if p == nil then return nil end
  local text = to_string(p, current.length)
  return text
end

local function half(d, at)
  return (d[at] * 16777216 + d[at + 1] * 65536 + d[at + 2] * 256 + d[at + 3]) * 0x100000000ULL
    + (d[at + 4] * 16777216 + d[at + 5] * 65536 + d[at + 6] * 256 + d[at + 7])
end

local function guard(meta)
  meta.__class = true
  meta.__metatable = { __name = meta.__name, __class = true, __members = meta.__members }
  return meta
end

-- Where the data begin: behind type, class, TTL and length.
local FIXED = 10

-- Types whose target goes by the key `name`, as in Haka: where in the data.
local TARGETS = { [2] = 0, [3] = 0, [4] = 0, [5] = 0, [7] = 0, [8] = 0, [9] = 0, [12] = 0,
  [15] = 2 }

-- Parts of the data by type and key, as the engine counts them.
local DS = { key_tag = 0, algorithm = 1, digest_type = 2, digest = 3 }
local KEY = { flags = 0, protocol = 1, algorithm = 2, key = 3 }
local SERVICE = { priority = 0, target = 1, parameters = 2 }
local SIGNATURE = { covered = 0, algorithm = 1, labels = 2, original_ttl = 3, expiration = 4,
  inception = 5, key_tag = 6, signer = 7, signature = 8 }
local PARTS = {
  [6] = { mname = 0, rname = 1, serial = 2, refresh = 3, retry = 4, expire = 5, minimum = 6 },
  [11] = { proto = 1 },
  [13] = { cpu = 0, os = 1 },
  [14] = { rname = 0, ename = 1 },
  [15] = { pref = 0, target = 1 },
  [33] = { priority = 0, weight = 1, port = 2, target = 3 },
  [35] = { order = 0, preference = 1, flags = 2, service = 3, regexp = 4, target = 5 },
  [39] = { target = 0 },
  [43] = DS, [59] = DS,
  [46] = SIGNATURE, [24] = SIGNATURE,
  [47] = { next_name = 0, types = 1 },
  [48] = KEY, [60] = KEY,
  [64] = SERVICE, [65] = SERVICE,
  [257] = { flags = 0, tag = 1, value = 2 },
}
for number in pairs(TARGETS) do PARTS[number] = PARTS[number] or { target = 0 } end

-- Parts that are numbers.
local NUMERIC = {}
for key in gmatch([[serial refresh retry expire minimum proto pref priority weight port order
  preference key_tag algorithm digest_type labels original_ttl flags protocol]], '%S+') do
  NUMERIC[key] = true
end

-- The data as bytes.
local function raw(m, item)
  local text = to_string(m.data + item.fixed + FIXED, item.data_len)
  return text
end

local function buffer(m, item, from)
  return lib.vbuffer.vbuffer_from(sub(raw(m, item), from)):sub()
end

-- What every record has: key -> reader of object, message and item.
local READ = {}

function READ.type(_, m, item)
  local d, at = m.data, item.fixed
  local number = d[at] * 256 + d[at + 1]
  return TYPES[number] or number
end

function READ.class(_, m, item)
  local d, at = m.data, item.fixed
  return d[at + 2] * 256 + d[at + 3]
end

function READ.owner(o, _, item)
  local text = text_at(o, item.name)
  return text
end

local RECORD = {}
for key, read in pairs(READ) do RECORD[key] = read end

local function number_of(m, item)
  local d, at = m.data, item.fixed
  return d[at] * 256 + d[at + 1]
end

function READ.name(o, _, item)
  local text = text_at(o, item.name)
  return text
end

function RECORD.name(o, m, item)
  local at = TARGETS[number_of(m, item)]
  local text = text_at(o, at and item.data_len > 0 and item.fixed + FIXED + at or item.name)
  return text
end

function RECORD.ttl(_, m, item)
  local d, at = m.data, item.fixed
  return d[at + 4] * 16777216 + d[at + 5] * 65536 + d[at + 6] * 256 + d[at + 7]
end

function RECORD.length(_, _, item)
  return item.data_len
end

function RECORD.ip(_, m, item)
  local d, at, number = m.data, item.fixed + FIXED, number_of(m, item)
  if number == 28 and item.data_len == 16 then
    local v6 = new_address(half(d, at), half(d, at + 8), 6)
    return v6
  elseif (number == 1 or number == 11) and item.data_len >= 4 then
    local v4 = new_address(0, d[at] * 16777216 + d[at + 1] * 65536 + d[at + 2] * 256 + d[at + 3], 4)
    return v4
  end
end

function RECORD.rdata(o)
  local p = ops.dns_data(E, o[0], o[1], o[2])
  return p ~= nil and to_string(p, current.length) or nil
end

-- TXT: the strings one after the other, without their length bytes.
function RECORD.text(_, m, item)
  local number = number_of(m, item)
  if number ~= 16 and number ~= 99 then return nil end
  local bytes, at, strings = raw(m, item), 1, {}
  while at <= #bytes do
    local size = byte(bytes, at)
    strings[#strings + 1] = sub(bytes, at + 1, at + size)
    at = at + size + 1
  end
  return concat(strings)
end

function RECORD.data(_, m, item)
  local number = number_of(m, item)
  if number == 16 then return raw(m, item) end
  if number == 10 then return buffer(m, item, 1) end
end

function RECORD.ports(_, m, item)
  if number_of(m, item) == 11 then return buffer(m, item, 6) end
end

-- What Haka shows of each type besides the common fields; of any other type
-- it shows the bytes.
local SHOWN = {
  [1] = { 'ip' }, [6] = { 'mname', 'rname', 'serial', 'refresh', 'retry', 'expire', 'minimum' },
  [10] = { 'data' }, [11] = { 'ip', 'ports', 'proto' }, [14] = { 'ename', 'rname' },
  [15] = { 'pref' }, [16] = { 'data' },
}
for number in pairs(TARGETS) do SHOWN[number] = SHOWN[number] or {} end

function RECORD.unknown(_, m, item)
  if not SHOWN[number_of(m, item)] then return buffer(m, item, 1) end
end

-- Parts of the data, by the type of the record.
local function part(o, m, item, key)
  local parts = PARTS[number_of(m, item)]
  local index = parts and parts[key]
  if not index then return nil end
  local p = ops.dns_part(E, o[0], o[1], o[2], index)
  if p == nil then return nil end
  local text = to_string(p, current.length)
  if text == '.' then return '' end
  return NUMERIC[key] and tonumber(text) or text
end

-- Entries ------------------------------------------------------------------------

local function item_of(o)
  local m = record(o)
  local i = o[2]
  if i < 0 or i >= m.first[4] then removed() end
  return m, m.items[i]
end

local function members(o, buffers, keys)
  local list = {}
  for _, key in ipairs(buffers) do list[#list + 1] = { key, o[key] } end
  sort(keys)
  for _, key in ipairs(keys) do list[#list + 1] = { key, o[key] } end
  return list
end

local Question = { __name = 'Result' }

function Question.__index(o, key)
  local read = READ[key]
  if not read then return nil end
  local m, item = item_of(o)
  local value = read(o, m, item)
  return value
end

function Question.__newindex(o, key, value)
  local _, item = item_of(o)
  if key == 'name' or key == 'owner' then
    set_owner(o, value)
  elseif key == 'type' then
    write(o, item.fixed, 2, 0xffff, type_number(value))
  elseif key == 'class' then
    write(o, item.fixed + 2, 2, 0xffff, integer(value, 65536, key))
  else
    rawset(o, key, value)
  end
end

function Question.__members(o)
  return members(o, {}, { 'class', 'name', 'type' })
end
guard(Question)

local Record = { __name = 'Result' }

function Record.__index(o, key)
  local read = RECORD[key]
  local m, item = item_of(o)
  if read then
    local value = read(o, m, item)
    return value
  end
  local value = part(o, m, item, key)
  return value
end

-- A target stands behind what else the data hold.
local function set_target(o, m, item, value)
  local text = tostring(value)
  if text == '' then text = '.' end
  if number_of(m, item) == 15 then text = format('%d %s', o.pref, text) end
  set_data(o, text)
end

local function set_address(o, m, item, value)
  local number = number_of(m, item)
  local family = number == 1 and 4 or number == 28 and 6
  if not family then immutable() end
  if not is_address(value) or value.family ~= family then
    error(format("Error in ip (arg 2), expected 'addr' of IPv%d got '%s'", family, type(value)), 0)
  end
  set_data(o, tostring(value))
end

function Record.__newindex(o, key, value)
  local m, item = item_of(o)
  if key == 'ip' then
    set_address(o, m, item, value)
  elseif key == 'ttl' then
    write(o, item.fixed + 4, 4, 0xffffffff, integer(value, 4294967296, key))
  elseif key == 'class' then
    write(o, item.fixed + 2, 2, 0xffff, integer(value, 65536, key))
  elseif key == 'rdata' then
    set_data(o, tostring(value))
  elseif key == 'owner' or key == 'name' and not TARGETS[number_of(m, item)] then
    set_owner(o, value)
  elseif key == 'name' or key == 'target' and TARGETS[number_of(m, item)] then
    set_target(o, m, item, value)
  elseif key == 'type' then
    error('the type of a record cannot be changed: remove it and append another', 0)
  elseif RECORD[key] or part(o, m, item, key) ~= nil then
    immutable()
  else
    rawset(o, key, value)
  end
end

-- Buffers come first, as in Haka's results.
function Record.__members(o)
  local m, item = item_of(o)
  local number = number_of(m, item)
  local keys, buffers = { 'class', 'length', 'name', 'ttl', 'type' }, {}
  for _, key in ipairs(SHOWN[number] or {}) do
    local first = number == 10 or key == 'ports'
    local into = first and buffers or keys
    into[#into + 1] = key
  end
  if not SHOWN[number] then buffers[1] = 'unknown' end
  return members(o, buffers, keys)
end
guard(Record)

-- Sections -----------------------------------------------------------------------

local SECTIONS = { [0] = 'questions', 'answer', 'authority', 'additional' }
-- By section: where its list is kept in the message, and what it is made of.
local KEYS = { [0] = 3, 4, 5, 6 }
local metas = {}

local function section(o, number)
  local list = rawget(o, KEYS[number])
  if list then return list end
  local m = record(o)
  local entry = number == 0 and Question or Record
  local s, g, first = o[0], o[1], m.first[number]
  local count = m.first[number + 1] - first
  list = new_table(count, 0)
  list[0] = o
  for i = 1, count do
    list[i] = setmetatable({ [0] = s, g, first + i - 1 }, entry)
  end
  -- The first question may have been looked at by itself.
  local question = number == 0 and count > 0 and rawget(o, 2)
  if question then list[1] = question end
  setmetatable(list, metas[number])
  rawset(o, KEYS[number], list)
  return list
end

-- After a change of the message its objects find their places again.
local function renumber(o)
  local m = record(o)
  for number = 0, 3 do
    local list = rawget(o, KEYS[number])
    local entry = number == 0 and Question or Record
    if list then
      local first, count = m.first[number], m.first[number + 1] - m.first[number]
      for i = 1, count do
        local known = rawget(list, i)
        if known then
          rawset(known, 2, first + i - 1)
        else
          list[i] = setmetatable({ [0] = o[0], o[1], first + i - 1 }, entry)
        end
      end
    end
  end
end

local list_methods = {}

-- Adds a record: `name` (that of the question), `type`, `class`, `ttl` (60)
-- and `ip`, or `data` in master-file form.
local function append(list, number, init)
  local o = list[0]
  if type(init) ~= 'table' then error('a table that describes the record expected', 0) end
  local ip, data, kind = init.ip, init.data, init.type
  if ip ~= nil then
    if not is_address(ip) then error("ip: expected 'addr' got '" .. type(ip) .. "'", 0) end
    data, kind = tostring(ip), kind or (ip.family == 4 and 1 or 28)
  end
  if kind == nil then error('a record needs a type', 0) end
  if data == nil and number ~= 0 then error('a record needs ip or data', 0) end
  local question = o.question
  local name = init.name or question and question.name or ''
  name, data = tostring(name), tostring(data or '')
  local class = integer(init.class or 1, 65536, 'class')
  local ttl = integer(init.ttl or 60, 4294967296, 'ttl')
  -- All objects are there before their places move.
  section(o, number)
  refused(ops.dns_append(E, o[0], o[1], number, type_number(kind),
    class * 0x100000000ULL + ttl, name, #name, data, #data))
  renumber(o)
  return list[#list]
end

-- Removes a record, by its place or itself.
local function take_out(list, number, which)
  local o = list[0]
  local place = which
  if type(which) ~= 'number' then
    for i = 1, #list do
      if rawget(list, i) == which then place = i end
    end
  end
  local found = type(place) == 'number' and place >= 1 and rawget(list, place)
  if not found then return end
  check(ops.dns_remove(E, o[0], o[1], number, found[2]), 'dns message')
  remove(list, place)
  rawset(found, 2, -1)
  if number == 0 then rawset(o, 2, false) end
  renumber(o)
end

local function clear(list, number)
  local o = list[0]
  check(ops.dns_remove(E, o[0], o[1], number, ALL), 'dns message')
  for i = #list, 1, -1 do
    rawset(list[i], 2, -1)
    list[i] = nil
  end
  if number == 0 then rawset(o, 2, false) end
  renumber(o)
end

for number = 0, 3 do
  local methods = {
    append = function (list, init) return append(list, number, init) end,
    remove = function (list, which) return take_out(list, number, which) end,
    clear = function (list) return clear(list, number) end,
  }
  local meta = { __name = 'ArrayResult', __index = methods }
  -- Only the records: the list's own keys are nobody's business.
  function meta.__pairs(list) return ipairs(list) end
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
    local list = section(o, number)
    return list
  end
end

-- The first question; Haka knew of no other.
function getters.question(o)
  local question = rawget(o, 2)
  if question then return question end
  local list = rawget(o, KEYS[0])
  if list then return list[1] end
  local m = record(o)
  if m.first[1] == 0 then return nil end
  question = setmetatable({ [0] = o[0], o[1], 0 }, Question)
  rawset(o, 2, question)
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

local message

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

local cache = {}

-- The object of a message, the same for all events that it takes part in.
message = function (slot)
  local generation = M[band(slot, MASK)].generation
  local o = cache[slot + 1]
  if o and rawget(o, 1) == generation and rawget(o, 0) == slot then return o end
  -- With places for all: a table that grows costs more.
  o = setmetatable({ [0] = slot, generation, false, false, false, false, false }, Result)
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

local function with_query(slot)
  return kind.object(slot), message(current.detail)
end

-- A response that nobody waited for has no query.
local function with_response(slot)
  local query
  if current.fresh ~= NONE then query = message(current.fresh) end
  return kind.object(slot), message(current.detail), query
end

return function ()
  local entry = application.announce(kind, {
    forms = {
      query = { form = 'flow_packet', prepare = with_query },
      response = { form = 'flow_packet_direction', prepare = with_response },
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
