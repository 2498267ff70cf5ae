-- Questions and records of DNS messages, as rules see them.
--
-- They are read in place, in the engine's bytes; names and data are made into
-- text when they are read. Objects are made whenever they are asked for and
-- hold nothing but numbers, so that the JIT compiler leaves out those that
-- rules only read: [0] is the slot of the message and [1] its generation,
-- which every access compares; [2] is the number that the engine gave the
-- record, which it keeps when others are removed. What is made twice is equal,
-- and an object in which a rule stored something is kept and found again.

local host, lib = ...

local check = lib.native.check
local ops, E, current = host.ops, host.engine, host.current
local M, MASK = host.dns, host.dns_mask
local TYPES = host.dns_types
local to_string = host.ffi.string
local new_address, is_address = lib.address.new, lib.address.is
local error, ipairs, pairs, rawset, setmetatable, tonumber, tostring, type =
  error, ipairs, pairs, rawset, setmetatable, tonumber, tostring, type
local band, byte, concat, floor, format, gmatch, match, sort, sub, upper =
  bit.band, string.byte, table.concat, math.floor, string.format, string.gmatch, string.match,
  table.sort, string.sub, string.upper

local NUMBERS = {}
for number, name in pairs(TYPES) do NUMBERS[name] = number end

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

return {
  Question = Question, Record = Record, entry = entry, item_of = item_of,
  message = record, stale = stale, immutable = immutable, guard = guard,
  write = write, integer = integer, refused = refused, type_number = type_number,
}
