-- `ipv4.cnx_table()`: a connection table for rules, keyed by addresses and
-- ports in either direction. The engine's own flows are elsewhere.

local _, lib = ...

local error, format, tostring, setmetatable, rawget, rawset =
  error, string.format, tostring, setmetatable, rawget, rawset
local is_address = lib.address.is
local log = lib.log.of('conn')

local function key_of(src, dst, sport, dport)
  return format('%s|%s|%d|%d', tostring(src), tostring(dst), sport, dport)
end

local function describe(what, cnx)
  local key = cnx._key
  log.debug('%s connection %s:%d -> %s:%d', what, tostring(key.src), key.sport,
    tostring(key.dst), key.dport)
end

local READ_ONLY = { id = true, in_pkts = true, in_bytes = true, out_pkts = true, out_bytes = true }

local methods = {}
local Entry = { __name = 'cnx' }

function Entry.__index(self, key)
  if key == 'data' then return rawget(self, '_data') end
  local method = methods[key]
  if method then return method end
  local value = rawget(self, '_values')[key]
  if value == nil then error(format("unknown field '%s'", tostring(key)), 0) end
  return value
end

function Entry.__newindex(self, key, value)
  if key == 'data' then
    rawset(self, '_data', value)
  elseif READ_ONLY[key] then
    error('This variable is immutable', 0)
  else
    error(format("unknown field '%s'", tostring(key)), 0)
  end
end

Entry.__metatable = { __name = 'cnx' }

function methods.update_stat(self, direction, size)
  local values = self._values
  local way = direction == 'down' and 'out' or 'in'
  values[way .. '_pkts'] = values[way .. '_pkts'] + 1
  values[way .. '_bytes'] = values[way .. '_bytes'] + size
end

function methods.drop(self)
  if self._values.dropped then return end
  self._values.dropped = true
  describe('dropping', self)
end

function methods.close(self)
  local values = self._values
  if values.closed then return end
  values.closed = true
  local of, key = self._table, self._key
  if of._byid[values.id] == self then
    of._byid[values.id] = nil
    of._bykey[key_of(key.src, key.dst, key.sport, key.dport)] = nil
  end
  describe('closing', self)
end

local table_methods = {}
local Table = { __index = table_methods, __name = 'cnx_table', __metatable = false }

local function find(self, src, dst, sport, dport)
  local cnx = self._bykey[key_of(src, dst, sport, dport)]
  if cnx then return cnx, 'up' end
  cnx = self._bykey[key_of(dst, src, dport, sport)]
  if cnx then return cnx, 'down' end
end

function table_methods.create(self, src, dst, sport, dport)
  if not is_address(src) or not is_address(dst) then
    error("Error in create, expected 'addr'", 2)
  end
  local old = find(self, src, dst, sport, dport)
  if old then
    if not old._values.dropped then error('cnx already exists', 2) end
    old:close()
  end
  self._last = self._last + 1
  local cnx = setmetatable({
    _table = self,
    _key = { src = src, dst = dst, sport = sport, dport = dport },
    _values = { id = self._last, in_pkts = 0, in_bytes = 0, out_pkts = 0, out_bytes = 0,
      dropped = false },
  }, Entry)
  self._byid[self._last] = cnx
  self._bykey[key_of(src, dst, sport, dport)] = cnx
  describe('opening', cnx)
  return cnx
end

-- The entry or nil, the direction, and whether there is a dropped one.
function table_methods.get(self, src, dst, sport, dport)
  local cnx, direction = find(self, src, dst, sport, dport)
  if not cnx then return nil end
  if cnx._values.dropped then return nil, direction, true end
  return cnx, direction, false
end

function table_methods.get_byid(self, id)
  return self._byid[id]
end

function table_methods.all(self, show_dropped)
  local list = {}
  for id = 1, self._last do
    local cnx = self._byid[id]
    if cnx and (show_dropped or not cnx._values.dropped) then list[#list + 1] = cnx end
  end
  return list
end

return function ()
  return setmetatable({ _byid = {}, _bykey = {}, _last = 0 }, Table)
end
