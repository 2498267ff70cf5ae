-- Flow objects: connections as rules see them, over the engine's records.
--
-- An object is a table of a slot, [0], and a generation, [1], that lives as
-- long as its flow, with the fields that rules gave it. Objects lie in pages,
-- so that the collector never has one huge table to walk; those of flows that
-- are gone are dropped bit by bit.

local host, lib = ...

local native, drive = lib.native, lib.drive
local st, check, unknown = native.st, native.check, native.unknown
local ops, E = host.ops, host.engine
local F, FLOW_MASK = host.flows, host.flow_mask
local new_address = lib.address.new
local context, is_inactive = lib.context.context, lib.dissector.is_inactive
local raise_alert, watch = lib.alert.raise, lib.watch
local type, tonumber, tostring, error, setmetatable, getmetatable, rawget, rawset, pairs, pcall =
  type, tonumber, tostring, error, setmetatable, getmetatable, rawget, rawset, pairs, pcall
local band, rshift, byte, format = bit.band, bit.rshift, string.byte, string.format

local UNDERSCORE = byte('_')
local PAGE_BITS = 12
local PAGE_MASK = 2 ^ PAGE_BITS - 1

-- Values of a flow record's state, as in `core::flow_state`.
local STATES = {
  [1] = 'syn', [2] = 'syn_sent', [3] = 'syn_received', [4] = 'established',
  [5] = 'fin_wait_1', [6] = 'fin_wait_2', [7] = 'closing', [8] = 'timed_wait',
  [9] = 'reset', [10] = 'drop',
}
local UNTRACKED, RESET = 0, 9
-- Where an object says which flow it stands for.
local PLACE = { [0] = true, true }
local NO_PARENT = -1
-- What an operation answers that the flow is in no state for.
local UNSUPPORTED = 3

local flow = {}

-- What `getmetatable` says of flow objects.
local metas = {}

local function record(o, what)
  local r = F[band(o[0], FLOW_MASK)]
  if r.generation ~= o[1] then error('invalid ' .. what, 0) end
  return r
end

local function alive(o)
  local r = F[band(o[0], FLOW_MASK)]
  return r.generation == o[1] and r.state ~= UNTRACKED and r.state < RESET
end

local function half(d, at)
  return (d[at] * 16777216 + d[at + 1] * 65536 + d[at + 2] * 256 + d[at + 3]) * 0x100000000ULL
    + (d[at + 4] * 16777216 + d[at + 5] * 65536 + d[at + 6] * 256 + d[at + 7])
end

-- An IPv4 address stands in the last four of the sixteen bytes.
local function address(d, family)
  if family == 4 then
    local v4 = new_address(0, d[12] * 16777216 + d[13] * 65536 + d[14] * 256 + d[15], 4)
    return v4
  end
  local v6 = new_address(half(d, 0), half(d, 8), 6)
  return v6
end

-- What the record tells: name -> reader of the record.
local READ = {
  srcip = function (r) local addr = address(r.client, r.family) return addr end,
  dstip = function (r) local addr = address(r.server, r.family) return addr end,
  srcport = function (r) return r.client_port end,
  dstport = function (r) return r.server_port end,
  id = function (r) return tonumber(r.id) end,
  in_pkts = function (r) return r.packets[0] end,
  in_bytes = function (r) return tonumber(r.bytes[0]) end,
  out_pkts = function (r) return r.packets[1] end,
  out_bytes = function (r) return tonumber(r.bytes[1]) end,
}

-- Fields that lead to nothing but their value, and methods that keep nothing.
local SAFE = { name = true, state = true, label = true, drop = true, error = true, reset = true,
  halfreset = true, bypass = true, can_continue = true, alert = true, send = true }
for name in pairs(READ) do SAFE[name] = true end

-- What a flow object inherits: its entry in the connection table.
local function entry_of(o, what)
  local entry = rawget(o, '_entry')
  if entry then return entry end
  local methods = {}
  function methods.drop() return o:drop() end
  function methods.close() return o:drop() end
  entry = setmetatable({ data = o }, {
    __metatable = { __name = 'cnx' },
    __index = function (_, key)
      local read = READ[key]
      if read then return read(record(o, what)) end
      return methods[key] or unknown(key)
    end,
  })
  rawset(o, '_entry', entry)
  return entry
end

-- Objects by slot, in pages.
local pages, sweep_page, sweep_at = {}, 0, 0

-- Looks at one place for an object whose flow is gone; called twice per
-- new object (a loop would keep the caller from being compiled).
local function sweep()
  local page = pages[sweep_page]
  local o = page and page[sweep_at]
  if o and F[sweep_page * (PAGE_MASK + 1) + sweep_at].generation ~= o[1] then
    page[sweep_at] = nil
  end
  sweep_at = sweep_at + 1
  if sweep_at > PAGE_MASK then
    sweep_at, sweep_page = 0, sweep_page + 1
    if not pages[sweep_page] then sweep_page = 0 end
  end
end

-- The object is found again by its slot, with what was stored in it.
local function keep(o)
  local slot = band(o[0], FLOW_MASK)
  local number, at = rshift(slot, PAGE_BITS), band(slot, PAGE_MASK)
  local page = pages[number]
  if not page then
    page = {}
    pages[number] = page
  end
  if page[at] == o then return end
  sweep()
  sweep()
  page[at] = o
end

local function store(o, key, value)
  rawset(o, key, value)
  keep(o)
end

-- The object that is kept of the flow in a slot.
function flow.known(slot)
  slot = band(slot, FLOW_MASK)
  local page = pages[rshift(slot, PAGE_BITS)]
  local o = page and page[band(slot, PAGE_MASK)]
  if o and rawget(o, 1) == F[slot].generation and rawget(o, 0) == slot then return o end
end

-- The functions that give the object of a slot, and a new one that nobody
-- else finds before it is kept.
local function constructors(meta)
  local function fresh(slot)
    slot = band(slot, FLOW_MASK)
    local o = setmetatable({ [0] = slot, F[slot].generation }, meta)
    return o
  end
  local function object(slot)
    local o = flow.known(slot)
    if o then return o end
    o = fresh(slot)
    keep(o)
    return o
  end
  return object, fresh
end

local common = {}

function common.can_continue(o)
  return alive(o)
end

function common.continue(o)
  if not alive(o) then error() end
end

function common.select_next_dissector(o, next)
  lib.sharing.mix()
  store(o, '_next_dissector', next)
end

-- The dissector's dynamic listeners go to the scope of the flow.
function common.activate_next_dissector(o)
  local next = rawget(o, '_next_dissector')
  if next == nil then return nil end
  if is_inactive(next) and next.activate then
    lib.sharing.mix()
    if not rawget(o, '_scope') then store(o, '_scope', context:newscope()) end
    local previous = context.scope
    context.scope = o._scope
    local ok, result = pcall(next.activate, next, o)
    context.scope = previous
    if not ok then error(result, 0) end
    next = result
    rawset(o, '_next_dissector', next)
  end
  return next
end

function common.parent(o, which)
  if which == nil then return entry_of(o, o.name) end
  if which == 0 or which == o.name then return o end
  if which == 1 then return entry_of(o, o.name) end
  if type(which) == 'number' then return nil end
  unknown('name')
end

function common.alert(_, fields)
  local handle = raise_alert(fields)
  return handle
end

local function stopped(o)
  if o[0] == st.flow then st.stop = true end
end
flow.stopped = stopped

local flow_drop, flow_scripted, flow_bypass, leave =
  ops.flow_drop, ops.flow_scripted, ops.flow_bypass, ops.leave

function flow.drop(o, what)
  local floor = drive.enter()
  local kind, cur = st.kind, st.cur
  drive.run(floor, flow_drop(E, o[0], o[1], kind, cur), what)
  stopped(o)
end

-- The rest of the flow passes without being shown. False if rules have edited
-- it, so that it has to be followed to its end.
function common.bypass(o)
  local floor = drive.enter()
  local status = flow_bypass(E, o[0], o[1])
  if status == UNSUPPORTED then
    leave(E, floor)
    return false
  end
  drive.run(floor, status, o.name)
  return true
end

-- A dissector in Lua reads the flow from now on.
function flow.script(o, next)
  lib.sharing.mix()
  store(o, '_next_dissector', next)
  local object = o:activate_next_dissector()
  check(flow_scripted(E, o[0], o[1], 1), o.name)
  return object
end

-- Kinds by the number of their protocol, once they are loaded.
flow.kinds = {}

-- The kind of flow objects of a protocol: `name`, `number`, `methods`. It
-- gets `object(slot)`, and the row of `sharing` for events.
function flow.kind(kind)
  flow.kinds[kind.number] = kind
  local methods, name = kind.methods, kind.name
  local getters = {}
  for key, read in pairs(READ) do
    getters[key] = function (o)
      local value = read(record(o, name))
      return value
    end
  end
  function getters.name() return name end
  function getters._parent(o) return entry_of(o, name) end
  -- A connection that another one announced, such as FTP's for files.
  function getters.label(o)
    record(o, name)
    if ops.flow_parent(E, o[0], o[1]) ~= NO_PARENT then return 'ftp-data' end
  end
  function getters.expected_by(o)
    record(o, name)
    local slot = tonumber(ops.flow_parent(E, o[0], o[1]))
    if slot >= 0 then
      local parent = kind.object(slot)
      return parent
    end
  end
  -- A flow that is over has no state any more.
  function getters.state(o)
    local r = F[band(o[0], FLOW_MASK)]
    if r.generation == o[1] then return STATES[r.state] end
  end
  for key, method in pairs(common) do
    if methods[key] == nil then methods[key] = method end
  end

  function methods.trigger(o, event_name, ...)
    local event = rawget(kind.entry.events, event_name)
    if not event then error(format("unkown event '%s'", tostring(event_name)), 2) end
    context:signal(o, event, ...)
  end

  local meta = { __name = name, __class = true, __methods = methods,
    __attributes = { 'dstip', 'dstport', 'name', 'srcip', 'srcport', 'state' } }
  function meta.__index(o, key)
    local get = getters[key]
    if get then
      local value = get(o)
      return value
    end
    local method = methods[key]
    if method then return method end
    if type(key) == 'string' and byte(key) == UNDERSCORE then return nil end
    unknown(key)
  end
  if watch and watch.index then meta.__index = watch.index(name, meta.__index) end
  function meta.__newindex(o, key, value)
    if getters[key] or methods[key] then error('This variable is immutable', 0) end
    store(o, key, value)
  end
  function meta.__eq(left, right)
    return left[0] == right[0] and left[1] == right[1]
  end
  meta.__metatable = { __name = name, __class = true, __attributes = meta.__attributes,
    __place = PLACE }
  meta.__tostring = lib.pprint.text_of(name, true)
  metas[meta.__metatable] = true

  kind.alive = alive
  kind.object, kind.fresh = constructors(meta)
  kind.row = { place = 1, kept = kind.object, fresh = kind.fresh, safe = SAFE }
  function kind.is(o)
    return type(o) == 'table' and rawget(o, 0) ~= nil and getmetatable(o) == meta.__metatable
  end
  return kind
end

-- The flow that an object is, or that it lies above.
function flow.below(o)
  while type(o) == 'table' do
    if metas[getmetatable(o)] then return o end
    o = rawget(o, '_parent')
  end
end

-- Rows for the console: the flows of one protocol, the newest last.
function flow.rows(kind, protocol, show_dropped)
  local rows = {}
  local slots = host.flow_slots()
  for i = #slots, 1, -1 do
    local r = F[band(slots[i], FLOW_MASK)]
    if r.protocol == protocol and r.state ~= UNTRACKED and (show_dropped or r.state < 10) then
      local id = tonumber(r.id)
      local row = { _thread = host.thread, _id = id, id = format('%d-%d', host.thread, id) }
      row.state = STATES[r.state]
      for _, key in pairs { 'srcip', 'dstip', 'srcport', 'dstport', 'in_pkts', 'in_bytes',
        'out_pkts', 'out_bytes' } do
        row[key] = READ[key](r)
      end
      rows[#rows + 1] = row
    end
  end
  return rows
end

-- The object of the flow with that number, or nil.
function flow.by_id(kind, protocol, id)
  local slots = host.flow_slots()
  for i = 1, #slots do
    local r = F[band(slots[i], FLOW_MASK)]
    if r.protocol == protocol and tonumber(r.id) == id then return kind.object(slots[i]) end
  end
end

-- Alert nodes of two ends, for policies.
local alert = lib.alert.alert

function flow.ends(prefix, srcip, srcport, dstip, dstport)
  return {
    sources = { alert.address(srcip), alert.service(format('%s/%d', prefix, srcport)) },
    targets = { alert.address(dstip), alert.service(format('%s/%d', prefix, dstport)) },
  }
end

return flow
