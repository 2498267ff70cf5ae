-- DNS as rules see it: messages with their question and records.
--
-- A message is read in place, in the engine's bytes; names and data are made
-- into text when they are read. Objects are made whenever they are asked for
-- and hold nothing but numbers, so that the JIT compiler leaves out those that
-- rules only read: [0] is the slot of the message and [1] its generation,
-- which every access compares; of a record, [2] is the number that the engine
-- gave it, which it keeps when others are removed. In lists, whose records
-- begin at one, slot and generation have names. What is made twice is equal,
-- and an object in which a rule stored something is kept and found again.

local host, lib = ...

local native, protocol, application = lib.native, lib.protocol, lib.application
local st, check = native.st, native.check
local ops, E, current = host.ops, host.engine, host.current
local M, MASK = host.dns, host.dns_mask
local F, FLOW_MASK = host.flows, host.flow_mask
local TYPES = host.dns_types
local to_string = host.ffi.string
local new_address, is_address = lib.address.new, lib.address.is
local error, ipairs, load, pairs, rawget, rawset, setmetatable, tonumber, tostring, type =
  error, ipairs, load, pairs, rawget, rawset, setmetatable, tonumber, tostring, type
local band, byte, concat, floor, format, gmatch, match, sort, sub, upper =
  bit.band, string.byte, table.concat, math.floor, string.format, string.gmatch, string.match,
  table.sort, string.sub, string.upper

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

local function set_data(o, i, text)
  refused(ops.dns_set_data(E, o[0], o[1], i, text, #text))
end

local function set_owner(o, i, value)
  local name = tostring(value)
  local status = ops.dns_set_owner(E, o[0], o[1], i, name, #name)
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
  meta.__metatable = { __name = meta.__name, __class = true, __members = meta.__members,
    __pairs = meta.__pairs }
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

-- What every record has: key -> reader of object, message, item and its place.
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

function RECORD.rdata(o, _, _, i)
  local p = ops.dns_data(E, o[0], o[1], i)
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
local function part(o, m, item, i, key)
  local parts = PARTS[number_of(m, item)]
  local index = parts and parts[key]
  if not index then return nil end
  local p = ops.dns_part(E, o[0], o[1], i, index)
  if p == nil then return nil end
  local text = to_string(p, current.length)
  if text == '.' then return '' end
  return NUMERIC[key] and tonumber(text) or text
end

-- Entries ------------------------------------------------------------------------

-- Where a record is after others were added or removed.
local function search(m, number)
  for i = 0, m.first[4] - 1 do
    if m.items[i].number == number then return i end
  end
  removed()
end

-- Message, item and place of a record.
local function item_of(o)
  local m, i = record(o), o[2]
  -- Nor is NaN any place.
  if not (i >= 0 and i < m.first[4]) or m.items[i].number ~= i then i = search(m, i) end
  return m, m.items[i], i
end

-- By slot of the message: its records in which rules stored something, by
-- number, with the `generation` that they are of.
local kept = {}

local function entry(s, g, number, meta)
  local known = kept[s + 1]
  if known and known.generation == g and known[number] then return known[number] end
  local o = setmetatable({ [0] = s, g, number }, meta)
  return o
end

local function store(o, key, value)
  rawset(o, key, value)
  local known = kept[o[0] + 1]
  if not known or known.generation ~= o[1] then
    known = { generation = o[1] }
    kept[o[0] + 1] = known
  end
  known[o[2]] = o
end

local function same_entry(left, right)
  return left[0] == right[0] and left[1] == right[1] and left[2] == right[2]
end

local function members(o, buffers, keys)
  local list = {}
  for _, key in ipairs(buffers) do list[#list + 1] = { key, o[key] } end
  sort(keys)
  for _, key in ipairs(keys) do list[#list + 1] = { key, o[key] } end
  return list
end

local Question = { __name = 'Result', __eq = same_entry }

function Question.__index(o, key)
  local read = READ[key]
  if not read then return nil end
  local m, item = item_of(o)
  local value = read(o, m, item)
  return value
end

function Question.__newindex(o, key, value)
  local _, item, i = item_of(o)
  if key == 'name' or key == 'owner' then
    set_owner(o, i, value)
  elseif key == 'type' then
    write(o, item.fixed, 2, 0xffff, type_number(value))
  elseif key == 'class' then
    write(o, item.fixed + 2, 2, 0xffff, integer(value, 65536, key))
  else
    store(o, key, value)
  end
end

function Question.__members(o)
  return members(o, {}, { 'class', 'name', 'type' })
end
guard(Question)

local Record = { __name = 'Result', __eq = same_entry }

function Record.__index(o, key)
  local read = RECORD[key]
  local m, item, i = item_of(o)
  if read then
    local value = read(o, m, item, i)
    return value
  end
  local value = part(o, m, item, i, key)
  return value
end

-- A target stands behind what else the data hold.
local function set_target(o, m, item, i, value)
  local text = tostring(value)
  if text == '' then text = '.' end
  if number_of(m, item) == 15 then text = format('%d %s', o.pref, text) end
  set_data(o, i, text)
end

local function set_address(o, m, item, i, value)
  local number = number_of(m, item)
  local family = number == 1 and 4 or number == 28 and 6
  if not family then immutable() end
  if not is_address(value) or value.family ~= family then
    error(format("Error in ip (arg 2), expected 'addr' of IPv%d got '%s'", family, type(value)), 0)
  end
  set_data(o, i, tostring(value))
end

function Record.__newindex(o, key, value)
  local m, item, i = item_of(o)
  if key == 'ip' then
    set_address(o, m, item, i, value)
  elseif key == 'ttl' then
    write(o, item.fixed + 4, 4, 0xffffffff, integer(value, 4294967296, key))
  elseif key == 'class' then
    write(o, item.fixed + 2, 2, 0xffff, integer(value, 65536, key))
  elseif key == 'rdata' then
    set_data(o, i, tostring(value))
  elseif key == 'owner' or key == 'name' and not TARGETS[number_of(m, item)] then
    set_owner(o, i, value)
  elseif key == 'name' or key == 'target' and TARGETS[number_of(m, item)] then
    set_target(o, m, item, i, value)
  elseif key == 'type' then
    error('the type of a record cannot be changed: remove it and append another', 0)
  elseif RECORD[key] or part(o, m, item, i, key) ~= nil then
    immutable()
  else
    store(o, key, value)
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

local QUERY = { place = 2, key = 'dns query', kept = message, fresh = fresh_message }
local RESPONSE = { place = 2, key = 'dns response', kept = message, fresh = fresh_message }
local ANSWERED = { place = 3, key = 'dns query', kept = message, fresh = fresh_message }

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
      query = { form = 'flow_packet', shows = { protocol.flow_row, QUERY }, make = with_query },
      response = { form = 'flow_packet_direction',
        shows = { protocol.flow_row, RESPONSE, ANSWERED }, make = with_response },
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
