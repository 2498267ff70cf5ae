-- Packet objects: the engine's records as rules see them, one object per
-- packet and layer.
--
-- An object is a table of a slot, [0], and a generation, [1]: an array of two
-- is one block of memory, where names would take two. Each access masks the
-- slot, compares the generation and checks that the field lies in the frame,
-- so that a rule that changes these numbers reads another packet at worst,
-- never foreign memory. Getters are generated from the field tables with all
-- constants in place; writing goes through the engine, which checks again.

local host, lib = ...

local ops, E = host.ops, host.engine
local P, PACKET_MASK = host.packets, host.packet_mask
local type, tonumber, tostring, error, load, getmetatable, setmetatable, rawget, rawset =
  type, tonumber, tostring, error, load, getmetatable, setmetatable, rawget, rawset
local pairs, ipairs, unpack = pairs, ipairs, unpack
local byte, format, gsub, match = string.byte, string.format, string.gsub, string.match
local floor, band, sort = math.floor, bit.band, table.sort
local is_address, new_address = lib.address.is, lib.address.new
local context, is_inactive = lib.context.context, lib.dissector.is_inactive
local raise_alert, watch = lib.alert.raise, lib.watch

local UNDERSCORE = byte('_')
-- Packet states below this: captured or forged, and not yet sent or dropped.
local SENT = 3

local native = { LINK = 0, NETWORK = 1, TRANSPORT = 2 }

-- Kinds of the network layer by IP version, of the transport by protocol.
native.networks, native.transports = {}, {}

-- What is being delivered; written by the dispatcher, read and stopped here.
-- `slot` and `flow` are those of the event, `cur` the listener's place.
local st = { kind = 0, cur = 0, stop = false, slot = -1, flow = -1 }
native.st = st

-- Errors ----------------------------------------------------------------------

local OK, STALE = 0, 1
local TEXTS = {
  [2] = 'read only buffer',
  [3] = 'operation not supported',
  [4] = 'too many nested operations',
  [5] = 'connection already dropped',
  [6] = 'cannot reset a non-established connection',
  [7] = 'field outside of the packet',
  [8] = 'operation not supported here',
}

-- Raises what a failed operation on `what` means; the good ones pass.
function native.check(status, what)
  if status == OK then return end
  if status == STALE then error('invalid ' .. what, 0) end
  error(TEXTS[status] or 'operation failed', 0)
end
local check = native.check

local function outside()
  error(TEXTS[7], 0)
end

local function unknown(key)
  error(format("unknown field '%s'", tostring(key)), 0)
end
native.unknown = unknown

-- Haka's text names neither field nor object.
local function refuse_assignment(key, name)
  if host.fixed_texts then
    error('Assignment not possible. No setter/member with this name. '
      .. 'For custom assignments implement __setitem method.', 3)
  end
  error(format("Assignment not possible: '%s' is no field of %s", tostring(key), name), 3)
end

-- Fields ----------------------------------------------------------------------

local AT = { [0] = 'ip_at', [1] = 'ip_at', [2] = 'transport_at' }

local BYTES = {
  [1] = 'd[at]',
  [2] = '(d[at] * 256 + d[at + 1])',
  [4] = '(d[at] * 16777216 + d[at + 1] * 65536 + d[at + 2] * 256 + d[at + 3])',
}
local FULL = { [1] = 0xff, [2] = 0xffff, [4] = 0xffffffff }

local function word(at)
  return format('(d[at + %d] * 16777216 + d[at + %d] * 65536 + d[at + %d] * 256 + d[at + %d])',
    at, at + 1, at + 2, at + 3)
end

-- The expression that reads a field from bytes `d` at `at`.
local function expression(field)
  if field.type == 'address' then
    if field.width == 4 then return format('new_address(0, %s, 4)', BYTES[4]) end
    return format('new_address(%s * 0x100000000ULL + %s, %s * 0x100000000ULL + %s, 6)',
      word(0), word(4), word(8), word(12))
  end
  local text = BYTES[field.width]
  if field.type == 'flag' then return format('band(%s, %d) ~= 0', text, field.mask) end
  if field.mask ~= FULL[field.width] then
    text = format('rshift(band(%s, %d), %d)', text, field.mask, field.shift)
  end
  if field.unit > 1 then text = format('%s * %d', text, field.unit) end
  return text
end

local GETTER = [[
local P, band, rshift, stale, outside, new_address = ...
return function (o)
  local r = P[band(o[0], $MASK)]
  if r.generation ~= o[1] or r.state >= $SENT then stale() end
  local at = r.$AT + $OFFSET
  if at + $WIDTH > r.len then outside() end
  local d = r.data
  local value = $READ
  return value
end
]]

local function stale_error(what)
  return function () error('invalid ' .. what, 0) end
end

local function getter_of(field, what)
  local source = gsub(GETTER, '%$(%u+)', {
    MASK = PACKET_MASK, SENT = SENT, AT = AT[field.layer], OFFSET = field.offset,
    WIDTH = field.width, READ = expression(field),
  })
  local chunk = load(source, '=[wero]/field', 't')
  return chunk(P, band, bit.rshift, stale_error(what), outside, new_address)
end

local function expected(name, wanted, value)
  error(format("Error in %s (arg 2), expected '%s' got '%s'", name, wanted, type(value)), 0)
end

-- The number that goes into a field: whole, and cut to the field's width.
local function integer(value, field)
  local number = tonumber(value)
  if type(value) ~= 'number' and type(value) ~= 'string' or not number then
    expected(field.name, 'number', value)
  end
  if number < 0 then error('number must not be negative', 0) end
  number = floor(number / field.unit) % field.range
  -- Infinity and NaN leave no remainder that is a number.
  return number == number and number or 0
end

local write, write_address = ops.write, ops.write_address

local function setter_of(field, what)
  local layer, offset, width, mask = field.layer, field.offset, field.width, field.mask
  if field.type == 'address' then
    local family, which = width == 4 and 4 or 6, field.which
    return function (o, value)
      if not is_address(value) or value.family ~= family then
        expected(field.name, 'addr', value)
      end
      check(write_address(E, o[0], o[1], which, value.high, value.low), what)
    end
  elseif field.type == 'flag' then
    return function (o, value)
      if type(value) ~= 'boolean' then expected(field.name, 'bool', value) end
      check(write(E, o[0], o[1], layer, offset, width, mask, value and mask or 0), what)
    end
  end
  local scale = 2 ^ field.shift
  field.range = floor(mask / scale) + 1
  return function (o, value)
    value = integer(value, field) * scale
    check(write(E, o[0], o[1], layer, offset, width, mask, value), what)
  end
end

-- Fields named `group.name` are those of a sub-object, such as `flags`.
local function add_fields(kind, fields)
  for _, field in ipairs(fields) do
    local group, name = match(field.name, '^(%w+)%.(%w+)$')
    local owner = kind
    if group then
      owner = kind.groups[group]
      if not owner then
        owner = { getters = {}, setters = {}, attributes = {} }
        kind.groups[group] = owner
      end
    end
    kind.safe[group or field.name] = true
    name = name or field.name
    owner.getters[name] = getter_of(field, kind.what)
    if not group then kind.inherited[name] = owner.getters[name] end
    if field.writable then owner.setters[name] = setter_of(field, kind.what) end
    owner.attributes[#owner.attributes + 1] = name
  end
end

-- Objects ---------------------------------------------------------------------

local function record(o)
  local r = P[band(o[0], PACKET_MASK)]
  if r.generation == o[1] then return r end
end

local function alive(o)
  local r = record(o)
  return r ~= nil and r.state < SENT
end
native.alive = alive

local function is_native_name(kind, key)
  return kind.getters[key] ~= nil or kind.methods[key] ~= nil
end

-- Where an object says which packet it stands for.
local PLACE = { [0] = true, true }

-- What pprint and class functions may see of a protected metatable.
local function describe(meta)
  return { __name = meta.__name, __attributes = meta.__attributes, __class = meta.__class,
    __place = PLACE, __tostring = meta.__tostring }
end

-- Reads are compiled one by one for each kind of object. A function shared by
-- two kinds that delegate to each other would look like recursion to the JIT
-- compiler, and a tail call like a return it cannot follow.
local INDEX = [[
local getters, methods, networks, P, band, type, byte, parent, unknown, place = ...
return function (o, key)
  local get = getters[key]
  if get then
    local value = get(o)
    return value
  end
  local method = methods[key]
  if method then return method end
  if place[key] then return nil end
  if networks then
    -- Fields of the IP header, read through the same slot.
    local network = networks[P[band(o[0], $MASK)].ip_version]
    local field = network and network.inherited[key]
    if field then
      local value = field(o)
      return value
    end
  end
  if type(key) ~= 'string' then unknown(key) end
  if byte(key) == $UNDERSCORE then return nil end
  if not parent then unknown(key) end
  local value = parent(o)[key]
  return value
end
]]

local function index_of(getters, methods, networks, parent)
  local source = gsub(INDEX, '%$(%u+)', { MASK = PACKET_MASK, UNDERSCORE = UNDERSCORE })
  return load(source, '=[wero]/index', 't')(getters, methods, networks, P, band, type, byte, parent,
    unknown, PLACE)
end

local function metatable_of(kind)
  local getters, setters, methods = kind.getters, kind.setters, kind.methods
  local takes_fields = kind.class
  local meta = { __name = kind.name, __attributes = kind.attributes, __class = takes_fields,
    __methods = methods }
  local networks = kind.layer == native.TRANSPORT and native.networks or nil
  meta.__index = index_of(getters, methods, networks, kind.parent)
  if watch and watch.index then meta.__index = watch.index(kind.name, meta.__index) end

  function meta.__newindex(o, key, value)
    local set = setters[key]
    if set then return set(o, value) end
    if is_native_name(kind, key) then error('This variable is immutable', 0) end
    if not takes_fields then
      refuse_assignment(key, kind.name)
    end
    rawset(o, key, value)
    kind.keep(o)
  end

  function meta.__eq(left, right)
    return left[0] == right[0] and left[1] == right[1]
  end

  meta.__metatable = describe(meta)
  -- Not in the description: printing shows the fields instead.
  meta.__tostring = lib.pprint.text_of(kind.name, takes_fields)
  return meta
end

-- Objects of one layer by slot. An object stays the same while its packet
-- does, with what rules stored in it: the first function makes or finds it,
-- the second makes one that nobody finds unless the third keeps it.
local OBJECT = [[
local P, band, rawget, setmetatable, meta = ...
local cache = {}
local function fresh(slot)
  local o = setmetatable({ [0] = slot, P[band(slot, $MASK)].generation }, meta)
  return o
end
local function object(slot)
  local o = cache[slot + 1]
  if o and rawget(o, 1) == P[band(slot, $MASK)].generation and rawget(o, 0) == slot then return o end
  o = fresh(slot)
  cache[slot + 1] = o
  return o
end
local function keep(o)
  cache[o[0] + 1] = o
end
return object, fresh, keep
]]

local function add_objects(kind)
  local source = gsub(OBJECT, '%$MASK', PACKET_MASK)
  local chunk = load(source, '=[wero]/object', 't')
  kind.object, kind.fresh, kind.keep = chunk(P, band, rawget, setmetatable, kind.meta)
end

-- A group's object reads the same packet as its owner, and is made anew for
-- each access: `pkt.flags.syn` needs none once compiled.
local function add_group(kind, name, group)
  local meta = { __name = kind.name .. '_' .. name, __attributes = group.attributes }
  local getters, setters = group.getters, group.setters
  meta.__index = index_of(getters, {}, nil, nil)
  if watch and watch.index then
    meta.__index = watch.index(kind.name .. '.' .. name, meta.__index)
  end
  function meta.__newindex(o, key, value)
    local set = setters[key]
    if set then return set(o, value) end
    if getters[key] then error('This variable is immutable', 0) end
    refuse_assignment(key, meta.__name)
  end
  meta.__metatable = describe(meta)
  meta.__tostring = lib.pprint.text_of(meta.__name)
  kind.getters[name] = function (o)
    return setmetatable({ [0] = o[0], o[1] }, meta)
  end
  kind.attributes[#kind.attributes + 1] = name
end

-- Payloads --------------------------------------------------------------------

local open_payload = ops.payload

-- The buffer over what a layer carries; the engine frees it.
local function payload(o, layer, what)
  local r = record(o)
  if not r or r.state >= SENT then error('invalid ' .. what, 0) end
  if r.buffer_generations[layer] == 0 then
    check(open_payload(E, o[0], o[1], layer), what)
  end
  local id = r.buffer_generations[layer] * host.buffer_scale + r.buffers[layer]
  local buffer = rawget(o, '_payload')
  if not buffer or buffer._b ~= id then
    buffer = lib.vbuffer.buffer_object(id)
    rawset(o, '_payload', buffer)
  end
  return buffer
end
native.payload = payload

-- Operations ------------------------------------------------------------------

local packet_drop, packet_send, packet_inject = ops.packet_drop, ops.packet_send, ops.packet_inject

local function stopped(o)
  if o[0] == st.slot then st.stop = true end
end

native.stopped = stopped

local common = {}

function common.can_continue(o)
  return alive(o)
end

-- Ends the dissection, silently, if the packet is gone.
function common.continue(o)
  if not alive(o) then error() end
end

function common.drop(o)
  if not alive(o) then return end
  local status = packet_drop(E, o[0], o[1], st.kind, st.cur)
  if status ~= OK and status ~= STALE then check(status, 'packet') end
  stopped(o)
end

common.error = common.drop

function common.select_next_dissector(o, next)
  rawset(o, '_next_dissector', next)
end

function common.activate_next_dissector(o)
  local next = rawget(o, '_next_dissector')
  if next == nil then return nil end
  if is_inactive(next) and next.activate then
    next = next:activate(o)
    rawset(o, '_next_dissector', next)
  end
  return next
end

function common.parent(o, which)
  if which == nil then return o._parent end
  local at = o
  if type(which) == 'number' then
    for _ = 1, which do
      if at == nil then return nil end
      at = at._parent
    end
    return at
  end
  while at ~= nil and at.name ~= which do at = at._parent end
  return at
end

function common.alert(_, fields)
  local handle = raise_alert(fields)
  return handle
end

-- The native dissector has the packet already: nothing is left to do.
function common.receive() end
common.preceive = common.receive

local function add_operations(kind)
  local methods, layer, what = kind.methods, kind.layer, kind.what
  local drive = lib.drive
  for name, method in pairs(common) do
    if methods[name] == nil then methods[name] = method end
  end

  function methods.send(o)
    if not alive(o) then
      if layer == native.LINK then error('operation not supported', 0) end
      error('invalid ' .. what, 0)
    end
    local floor = drive.enter()
    drive.run(floor, packet_send(E, o[0], o[1], layer), what)
    stopped(o)
  end

  function methods.inject(o)
    if host.passthrough then error('sending is not supported in pass-through', 0) end
    check(packet_inject(E, o[0], o[1], layer), what)
    stopped(o)
  end

  function methods.trigger(o, name, ...)
    local event = rawget(kind.entry.events, name)
    if not event then error(format("unkown event '%s'", tostring(name)), 2) end
    context:signal(o, event, ...)
  end
end

-- Makes the objects of a layer. `kind`: name; layer; fields; class, whether
-- rules may keep fields of their own; parent(o); getters, setters, methods.
-- What is missing is added, and `object(slot)`, `fresh(slot)` and `keep(o)`;
-- `kind.entry` is set later, when the dissector is announced.
function native.kind(kind)
  kind.what = kind.name .. ' packet'
  if kind.layer == native.LINK then kind.what = 'packet' end
  kind.getters, kind.setters = kind.getters or {}, kind.setters or {}
  kind.methods, kind.groups, kind.inherited = kind.methods or {}, {}, {}
  -- Fields that lead to nothing but their value, and methods that keep nothing.
  kind.safe = { name = true, drop = true, error = true, can_continue = true, send = true,
    inject = true, verify_checksum = true, compute_checksum = true }
  kind.attributes = kind.attributes or {}
  local name, parent = kind.name, kind.parent

  kind.getters.name = function () return name end
  kind.getters._parent = function (o)
    if not parent then return nil end
    return parent(o)
  end
  add_fields(kind, kind.fields or {})
  for group, members in pairs(kind.groups) do add_group(kind, group, members) end
  add_operations(kind)
  kind.meta = metatable_of(kind)
  add_objects(kind)
  if not kind.class then
    for _, key in ipairs { 'name', '_parent', '_next_dissector' } do
      kind.attributes[#kind.attributes + 1] = key
    end
  end
  sort(kind.attributes)
  return kind
end

local verify, compute = ops.verify_checksum, ops.compute_checksum

-- Methods of layers with a checksum.
function native.checksum_methods(kind)
  local layer, what = kind.layer, kind.name .. ' packet'
  kind.methods = kind.methods or {}
  function kind.methods.verify_checksum(o)
    local result = verify(E, o[0], o[1], layer)
    if result < 0 then check(-result, what) end
    return result == 1
  end
  function kind.methods.compute_checksum(o)
    check(compute(E, o[0], o[1], layer), what)
  end
end

-- The network object of a packet of any version.
function native.network(slot)
  local kind = native.networks[P[band(slot, PACKET_MASK)].ip_version]
  if kind then return kind.object(slot) end
  return native.packet.object(slot)
end

function native.transport(slot)
  local kind = native.transports[P[band(slot, PACKET_MASK)].protocol]
  if kind then return kind.object(slot) end
  return native.network(slot)
end

local function fresh_transport(slot)
  local kind = native.transports[P[band(slot, PACKET_MASK)].protocol]
  if kind then return kind.fresh(slot) end
  return native.network(slot)
end

-- Transport objects answer fields of the network layer, too.
local function safe_fields(kind)
  if kind.layer ~= native.TRANSPORT then return kind.safe end
  local safe = {}
  for name in pairs(kind.safe) do safe[name] = true end
  for _, network in pairs(native.networks) do
    for name in pairs(network.inherited) do safe[name] = safe[name] or not kind.getters[name] end
  end
  return safe
end

-- The row of `sharing` for events that show packets of a kind.
function native.row(kind)
  return { place = 1, kept = kind.object, fresh = kind.fresh, safe = safe_fields(kind) }
end

-- And for events of flows, which show the packet behind the flow.
function native.transport_row(number)
  local kind = native.transports[number]
  return { place = 2, kept = native.transport, fresh = fresh_transport,
    safe = safe_fields(kind) }
end

local create_layer = ops.layer_create

-- Puts a header on a forged packet and gives the object of the new layer.
function native.create(kind, below, number, size)
  local meta = type(below) == 'table' and getmetatable(below)
  if type(meta) ~= 'table' or rawget(meta, '__place') ~= PLACE then error('packet expected', 3) end
  check(create_layer(E, below[0], below[1], kind.layer, number, size), kind.what)
  return kind.object(below[0])
end

return native
