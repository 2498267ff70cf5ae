-- Addresses and networks of both families, as rules see them.
--
-- An address is an immutable cdata value of 128 bits and a family; an IPv4
-- address is a number in the lower half. The families never mix: no IPv4
-- address equals or lies in anything of IPv6. Text follows RFC 5952.

local host, lib = ...

local ffi = host.ffi
local type, tonumber, tostring, error, setmetatable, getmetatable =
  type, tonumber, tostring, error, setmetatable, getmetatable
local format, find, match, sub = string.format, string.find, string.match, string.sub
local concat, floor, char, ipairs = table.concat, math.floor, string.char, ipairs
local band, bnot, lshift, rshift = bit.band, bit.bnot, bit.lshift, bit.rshift
local istype = ffi.istype
local log = lib.log.of('ipv4')

ffi.cdef [[
typedef struct { const uint64_t high, low; const uint8_t family; } wero_addr;
]]

local address = {}

local new
local addr_t = ffi.typeof('wero_addr')

-- The compiler takes only some tail calls in one trace: none on this path.
function address.is(value)
  local yes = istype(addr_t, value)
  return yes
end
local is = address.is

local methods = {}

-- Text ------------------------------------------------------------------------

local function dotted(number)
  return format('%d.%d.%d.%d', floor(number / 16777216), floor(number / 65536) % 256,
    floor(number / 256) % 256, number % 256)
end

-- The eight groups of 16 bits, in order.
local function groups_of(addr)
  local groups = {}
  for i = 0, 3 do
    groups[i + 1] = tonumber(rshift(addr.high, 48 - 16 * i) % 65536)
    groups[i + 5] = tonumber(rshift(addr.low, 48 - 16 * i) % 65536)
  end
  return groups
end

-- First and last group of the longest run of zeros; of equally long ones the
-- first, and never a single group (RFC 5952, 4.2).
local function longest_run(groups)
  local best, best_length = nil, 1
  local i = 1
  while i <= 8 do
    local from = i
    while groups[i] == 0 do i = i + 1 end
    if i - from > best_length then best, best_length = from, i - from end
    i = i + 1
  end
  if best then return best, best + best_length - 1 end
end

local function hex(groups, from, to)
  local texts = {}
  for i = from, to do texts[#texts + 1] = format('%x', groups[i]) end
  return concat(texts, ':')
end

local function colons(addr)
  local groups = groups_of(addr)
  -- IPv4-mapped addresses are written with dots (RFC 5952, 5).
  if addr.high == 0 and groups[5] == 0 and groups[6] == 65535 then
    return '::ffff:' .. dotted(groups[7] * 65536 + groups[8])
  end
  local from, to = longest_run(groups)
  if not from then return hex(groups, 1, 8) end
  return hex(groups, 1, from - 1) .. '::' .. hex(groups, to + 1, 8)
end

-- Values ----------------------------------------------------------------------

-- What networks stand for. Their objects carry nothing: a rule could change it.
local networks = setmetatable({}, { __mode = 'k' })

local Address = { __metatable = false }

function Address.__tostring(self)
  if self.family == 4 then return dotted(tonumber(self.low)) end
  return colons(self)
end

-- Texts are put together without `tostring`; the caller gets the blame for
-- what is none.
local function concatenated(left, right)
  if is(left) or networks[left] then left = tostring(left) end
  if is(right) or networks[right] then right = tostring(right) end
  local kind = type(left)
  if kind == 'string' or kind == 'number' then kind = type(right) end
  if kind == 'string' or kind == 'number' then return left .. right end
  error(format('attempt to concatenate a %s value', kind), 2)
end

Address.__concat = concatenated

function Address.__eq(left, right)
  local both = is(left) and is(right)
  return both and left.low == right.low and left.high == right.high
    and left.family == right.family
end

local function expect(value, what)
  if not is(value) then
    error(format("Error in %s, expected 'addr' got '%s'", what, type(value)), 3)
  end
end

-- IPv4 comes before IPv6.
local function less(left, right)
  if left.family ~= right.family then return left.family < right.family end
  if left.high ~= right.high then return left.high < right.high end
  return left.low < right.low
end

function Address.__lt(left, right)
  expect(left, 'comparison')
  expect(right, 'comparison')
  return less(left, right)
end

function Address.__le(left, right)
  expect(left, 'comparison')
  expect(right, 'comparison')
  return not less(right, left)
end

-- `packed` is the number of an IPv4 address; one of IPv6 is too long for a
-- number and gives its sixteen bytes.
local function packed(self)
  if self.family == 4 then return tonumber(self.low) end
  local bytes = {}
  for i, group in ipairs(groups_of(self)) do
    bytes[i] = char(floor(group / 256), group % 256)
  end
  return concat(bytes)
end

function Address.__index(self, key)
  if key == 'packed' then return packed(self) end
  local method = methods[key]
  if method then return method end
  error(format("unknown field '%s'", tostring(key)), 0)
end

-- Reached for unknown names only: the fields of the value are constant.
function Address.__newindex(_, key)
  if key == 'packed' or methods[key] then error('This variable is immutable', 0) end
  error(format("unknown field '%s'", tostring(key)), 0)
end

new = ffi.metatype(addr_t, Address)

-- An address from its halves; native code's way in.
address.new = new

function address.v4(number)
  return new(0, number, 4)
end
local v4 = address.v4

lib.pprint.register_cdata(is, 'addr')

-- Reading text ----------------------------------------------------------------

local function read_v4(text)
  local a, b, c, d = match(text, '^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$')
  if not a then return nil end
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if a > 255 or b > 255 or c > 255 or d > 255 then return nil end
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- The groups of one side of `::`, or nil for bad text. An IPv4 address at
-- the end stands for two groups.
local function read_groups(text)
  local groups = {}
  if text == '' then return groups end
  local from = 1
  while true do
    local colon = find(text, ':', from, true)
    local part = sub(text, from, colon and colon - 1)
    if find(part, '^%x%x?%x?%x?$') then
      groups[#groups + 1] = tonumber(part, 16)
    else
      local number = not colon and read_v4(part)
      if not number then return nil end
      groups[#groups + 1] = floor(number / 65536)
      groups[#groups + 1] = number % 65536
    end
    if not colon then return groups end
    from = colon + 1
  end
end

local function half(groups, from)
  local number = 0ULL
  for i = from, from + 3 do number = number * 65536 + groups[i] end
  return number
end

local function read_v6(text)
  if #text > 45 then return nil end
  local groups
  local from, to = find(text, '::', 1, true)
  if from then
    local front, back = read_groups(sub(text, 1, from - 1)), read_groups(sub(text, to + 1))
    if not front or not back or #front + #back > 7 then return nil end
    groups = front
    for _ = 1, 8 - #front - #back do groups[#groups + 1] = 0 end
    for i = 1, #back do groups[#groups + 1] = back[i] end
  else
    groups = read_groups(text)
  end
  if not groups or #groups ~= 8 then return nil end
  return new(half(groups, 1), half(groups, 5), 6)
end

local function read(text, family)
  if family ~= 6 then
    local number = read_v4(text)
    if number then return v4(number) end
  end
  if family ~= 4 then return read_v6(text) end
end

local BAD_V4 = 'invalid IPv4 address format'

local function number_of(value)
  local number = tonumber(value)
  if not number or number ~= number or number < 0 then return nil end
  return floor(number)
end

-- Forms: dotted text, one number, four byte numbers, an address.
local function make_v4(a, b, c, d)
  if b ~= nil or c ~= nil or d ~= nil then
    a, b, c, d = number_of(a), number_of(b), number_of(c), number_of(d)
    if not (a and b and c and d) or a > 255 or b > 255 or c > 255 or d > 255 then
      error(BAD_V4, 2)
    end
    return v4(((a * 256 + b) * 256 + c) * 256 + d)
  end
  if is(a) and a.family == 4 then return a end
  if type(a) == 'number' then
    -- Haka gave out `packed` as a signed number: take those back as well.
    if a < 0 and a >= -2147483648 then a = a + 4294967296 end
    local number = number_of(a)
    if not number or number > 4294967295 then error(BAD_V4, 2) end
    return v4(number)
  end
  local result = type(a) == 'string' and read(a, 4)
  if not result then error(BAD_V4, 2) end
  return result
end

local function maker(family, message)
  return function (text)
    if is(text) and (not family or text.family == family) then return text end
    local result = type(text) == 'string' and read(text, family)
    if not result then error(message, 2) end
    return result
  end
end

-- Networks --------------------------------------------------------------------

local Network = { __name = 'network' }
local network_methods = {}

-- Ones over the first `bits` of 64.
local function ones(bits)
  if bits <= 0 then return 0ULL end
  if bits >= 64 then return bnot(0ULL) end
  return lshift(bnot(0ULL), 64 - bits)
end

-- The masks of the two halves of an address.
local function masks(family, bits)
  if family == 4 then return ones(64), band(ones(32 + bits), 0xffffffffULL) end
  return ones(bits), ones(bits - 64)
end

-- `shown` is the address as the text of the network has it.
local function new_network(addr, bits, shown)
  local high, low = masks(addr.family, bits)
  local net = new(band(addr.high, high), band(addr.low, low), addr.family)
  local self = setmetatable({}, Network)
  networks[self] = { net = net, shown = shown or net, mask = bits, high = high, low = low }
  return self, net == addr
end

function address.is_network(value)
  return networks[value] ~= nil
end
local is_network = address.is_network

local function contains(self, addr)
  local own = networks[self]
  local net = own.net
  return addr.family == net.family and band(addr.high, own.high) == net.high
    and band(addr.low, own.low) == net.low
end

function network_methods.contains(self, addr)
  if not is_network(self) then error('network expected', 2) end
  if not is(addr) then
    error(format("Error in contains (arg 2), expected 'addr' got '%s'", type(addr)), 2)
  end
  return contains(self, addr)
end

function Network.__index(self, key)
  local method = network_methods[key]
  if method then return method end
  local own = networks[self]
  if own and (key == 'net' or key == 'mask') then return own[key] end
  error(format("unknown field '%s'", tostring(key)), 0)
end

function Network.__newindex(_, key)
  if key == 'net' or key == 'mask' then error('This variable is immutable', 0) end
  error(format("unknown field '%s'", tostring(key)), 0)
end

function Network.__tostring(self)
  local own = networks[self]
  return own and format('%s/%d', tostring(own.shown), own.mask) or 'network'
end

Network.__concat = concatenated

function Network.__eq(left, right)
  local a, b = networks[left], networks[right]
  return a ~= nil and b ~= nil and a.mask == b.mask and a.net == b.net
end

Network.__metatable = { __name = 'network', __tostring = Network.__tostring }

local BITS = { [4] = 32, [6] = 128 }

local function network_maker(family, bad_text, bad_arguments)
  return function (from, bits)
    if bits == nil and type(from) == 'string' then
      local text, length = match(from, '^([^/]*)/(%d%d?%d?)$')
      local addr = text and read(text, family)
      length = tonumber(length)
      if not addr or length > BITS[addr.family] then error(bad_text, 2) end
      local network, aligned = new_network(addr, length)
      if not aligned then log.debug('incorrect network mask') end
      return network
    end
    bits = number_of(bits)
    if not is(from) or family and from.family ~= family
      or not bits or bits > BITS[from.family] then
      error(bad_arguments, 2)
    end
    -- Haka does not cut the host part off here, and shows it.
    return (new_network(from, bits, from))
  end
end

-- Per family what `require('protocol/ipv4')` and its like offer.
local BAD_NETWORK = 'Invalid IPv4 addresss network format'
address.ipv4 = {
  addr = make_v4,
  network = network_maker(4, 'invalid IPv4 network address format', BAD_NETWORK),
}
address.ipv6 = {
  addr = maker(6, 'invalid IPv6 address format'),
  network = network_maker(6, 'invalid IPv6 network address format',
    'invalid IPv6 network: expected an address and 0 to 128 bits'),
}
address.ip = {
  addr = maker(nil, 'invalid IP address format'),
  network = network_maker(nil, 'invalid IP network address format',
    'invalid IP network: expected an address and a number of bits'),
}

-- Criteria --------------------------------------------------------------------

local Criterion = lib.criterion.policy.Criterion
local new_class, check_assert = lib.class.class, lib.check.assert

local InNetwork = new_class('in_network', Criterion)

function InNetwork.method:init(network)
  check_assert(is_network(network), 'network expected', 1)
  self.network = network
end

-- A value that is no address lies in no network.
function InNetwork.method:compare(value)
  return is(value) and contains(self.network, value)
end

-- Haka's name for the same.
new_class('ipv4_in_network', InNetwork)

return address
