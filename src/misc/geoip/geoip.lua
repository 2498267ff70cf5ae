-- `require('misc/geoip')`: databases, and the countries of addresses in them.
--
-- A handle is an empty table: what it stands for is kept here, where rules
-- cannot change it.

local host, lib = ...

local native, address = host.misc.geoip, lib.address
local is, parse = address.is, address.ip.addr
local type, error, format, setmetatable, pcall, tostring =
  type, error, string.format, setmetatable, pcall, tostring

local numbers = setmetatable({}, { __mode = 'k' })
local methods = {}

local Handle = {
  __name = 'geoip_handle', __metatable = 'geoip_handle',
  __index = function (_, key)
    return methods[key] or error(format("unknown field '%s'", tostring(key)), 2)
  end,
  __newindex = function () error('This variable is immutable', 2) end,
  __tostring = function () return 'geoip_handle' end,
}

-- The database and the address in its native form, an IPv6 one as bytes.
local function arguments(self, addr, name)
  local number = numbers[self]
  if not number then
    error(format("Error in %s (arg 1), expected 'geoip_handle' got '%s'", name, type(self)), 3)
  end
  if type(addr) == 'string' then
    local ok, value = pcall(parse, addr)
    if not ok then error(format("%s: '%s' is no IP address", name, addr), 3) end
    addr = value
  elseif not is(addr) then
    error(format("Error in %s (arg 2), expected 'addr' got '%s'", name, type(addr)), 3)
  end
  return number, addr.packed
end

-- The two-letter code of an address, or nil.
function methods.country(self, addr)
  local number, packed = arguments(self, addr, 'country')
  return native.country(number, packed)
end

-- All that the database has on an address, as tables, or nil.
function methods.lookup(self, addr)
  local number, packed = arguments(self, addr, 'lookup')
  return native.lookup(number, packed)
end

local function open(path)
  if type(path) ~= 'string' then
    error(format("bad argument #1 to 'open' (string expected, got %s)", type(path)), 2)
  end
  local number, problem = native.open(path)
  if not number then error(format('cannot initialize geoip: %s: %s', path, problem), 2) end
  local handle = setmetatable({}, Handle)
  numbers[handle] = number
  return handle
end

return function ()
  return { open = open, geoip_handle = { country = methods.country, lookup = methods.lookup } }
end
