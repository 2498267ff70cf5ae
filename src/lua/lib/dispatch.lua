-- Delivery of the engine's events: one generated function per event.
--
-- The engine enters `entries[kind]` with the slot of the subject. What runs
-- then is source made from the list of listeners, unrolled, because a loop
-- over functions is five times slower once compiled; it is made again when
-- the list has changed. Which listener runs stands in `st.cur`; a drop or
-- send of the subject sets `st.stop`, which ends the delivery.

local host, lib = ...

local native, drive, context = lib.native, lib.drive, lib.context.context
local st = native.st
local ops, E, current = host.ops, host.engine, host.current
local error, load, pairs, pcall, unpack = error, load, pairs, pcall, unpack
local concat, format = table.concat, string.format
local connections = context.connections

-- More functions than this in one chunk are more upvalues than Lua allows.
local CHUNK = 50

local dispatch = { entries = {} }

-- By kind: what `define` was given, and the function that runs now.
local definitions, bodies = {}, {}
-- Counts changes of all lists, so that a delivery notices those during it.
st.version = 0

-- Per form of event: what a chunk gets, and how it calls one listener. `$F`
-- is the listener, `$K` its place.
local FORMS = {
  packet = { 'a', '$F(a)' },
  fault = { 'a, b', '$F(a, b)' },
  flow = { 'a', '$F(a)' },
  flow_packet = { 'a, b', '$F(a, b)' },
  flow_packet_direction = { 'a, b, c', '$F(a, b, c)' },
  -- `b` is the new data, `c` the direction.
  flow_data = { 'a, b, c', 'local d = sub(b) if d then $F(a, d, c) end' },
  flow_streamed = { 'a, b, c', 'streamed($F, a, b, c)' },
}

local function call_source(form, options, k)
  if form == 'flow_data' and options and options.streamed then form = 'flow_streamed' end
  return (FORMS[form][2]:gsub('%$F', 'r' .. k))
end

-- A function that calls the listeners `from` to `to`.
local function chunk(form, list, from, to)
  local names, functions, lines = {}, {}, {}
  for i = from, to do
    local k = i - from + 1
    names[k], functions[k] = 'r' .. k, list[i].fn
    lines[k] = format('  st.cur = %d do %s end if st.stop then return end', i,
      call_source(form, list[i].options, k))
  end
  local source = format('local st, sub, streamed, %s = ...\nreturn function (%s)\n%s\nend',
    concat(names, ', '), FORMS[form][1], concat(lines, '\n'))
  local make = load(source, '=[wero]/dispatch', 't')
  return make(st, lib.flow_data.sub, lib.flow_data.streamed, unpack(functions, 1, to - from + 1))
end

-- All chunks of a list as one function.
local function chunks(form, list, count)
  local parts = {}
  for from = 1, count, CHUNK do
    parts[#parts + 1] = chunk(form, list, from, from + CHUNK - 1 < count and from + CHUNK - 1 or count)
  end
  if #parts == 1 then return parts[1] end
  return function (a, b, c)
    for i = 1, #parts do
      parts[i](a, b, c)
      if st.stop then return end
    end
  end
end

local function nothing() end

-- Runs listeners that were added since `list` had `count` of them.
local function run_late(form, list, count, a, b, c)
  while not st.stop and #list > count do
    chunk(form, list, count + 1, count + 1)(a, b, c)
    count = count + 1
  end
end

-- Connections that dissectors in Lua attached to the scope of a flow. An
-- abort after the flow is gone is the end of the delivery, no error.
local function run_dynamic(event, scope, a, ...)
  local list = scope._connections
  local i = 1
  while i <= #list do
    local dynamic = list[i]
    local listeners = dynamic:listeners(event)
    local k = 1
    while listeners and k <= #listeners do
      event.signal(dynamic:callee(listeners[k]), listeners[k].options, a, ...)
      if st.stop then return end
      k = k + 1
    end
    i = i + 1
  end
end

-- Makes the function that delivers an event to all who listen now.
local function build(kind)
  local definition = definitions[kind]
  local event, form, prepare = definition.event, definition.form, definition.prepare
  local before, after = definition.before, definition.after
  local list = connections:listeners(event)
  local count, version = #list, st.version
  local run = count > 0 and chunks(form, list, count) or nothing

  local function deliver(a, b, c)
    if before then
      st.cur = 0
      before(a, b, c)
      if st.stop then return end
    end
    run(a, b, c)
    if st.version ~= version then
      version = st.version
      run_late(form, list, count, a, b, c)
    end
    if after and not st.stop then
      st.cur = 0
      after(a, b, c)
    end
  end

  -- Dynamic listeners come after the static ones, before what follows them.
  local function deliver_scoped(scope, a, b, c)
    local previous = context.scope
    context.scope = scope
    local ok, message = pcall(function ()
      if before then before(a, b, c) end
      if not st.stop then run(a, b, c) end
      if not st.stop then run_late(form, list, count, a, b, c) end
      if not st.stop and #scope._connections > 0 then
        st.cur = 0
        local data = form == 'flow_data' and b or nil
        if data then
          run_dynamic(event, scope, a, lib.flow_data.stream(data), lib.flow_data.iterator(data), c)
        else
          run_dynamic(event, scope, a, b, c)
        end
      end
      if after and not st.stop then after(a, b, c) end
    end)
    context.scope = previous
    if not ok then error(message, 0) end
  end

  if definition.subject == 'packet' then
    return function (slot)
      st.slot, st.flow = slot, -1
      local a, b = prepare(slot)
      deliver(a, b)
    end
  end
  return function (slot)
    st.slot, st.flow = current.packet, slot
    local a, b, c = prepare(slot)
    local scope = a._scope
    if scope then return deliver_scoped(scope, a, b, c) end
    deliver(a, b, c)
  end
end

-- Policies are decided by one function each and have no listeners.
local function body_of(kind)
  local definition = definitions[kind]
  if not definition.decide then return build(kind) end
  local decide = definition.decide
  if definition.subject == 'packet' then
    return function (slot)
      st.slot, st.flow = slot, -1
      decide(slot)
    end
  end
  return function (slot)
    st.slot, st.flow = current.packet, slot
    decide(slot)
  end
end

local function rebuild(kind)
  bodies[kind] = function (slot)
    local body = body_of(kind)
    bodies[kind] = body
    return body(slot)
  end
end

-- Tells the engine whether an event has to be raised.
local function update_hook(kind)
  local definition = definitions[kind]
  if not definition or not definition.event then return end
  local listeners = connections:listeners(definition.event)
  local heard = #listeners > 0 or definition.wanted == true
  if heard ~= definition.heard then
    definition.heard = heard
    ops.hook(E, kind, heard and 1 or 0)
  end
end

-- Announces how an event of the engine is delivered: `subject`, packet or
-- flow; `event`, with `form` and `prepare(slot)`, which gives the listeners'
-- arguments; `before` and `after`, which run around the listeners; or
-- `decide(slot)` for a policy.
function dispatch.define(kind, definition)
  definitions[kind] = definition
  rebuild(kind)
  update_hook(kind)
end

-- The engine raises the event even without listeners from now on.
function dispatch.want(kind)
  local definition = definitions[kind]
  if not definition.wanted then
    definition.wanted = true
    update_hook(kind)
  end
end

function host.hooked(kind)
  st.version = st.version + 1
  if definitions[kind] then
    rebuild(kind)
    update_hook(kind)
  end
end

-- What an extended policy needs: its own event, or the one it belongs to.
local extended = {}

function host.policy_changed(policy)
  local kind = policy._native
  if extended[policy] or policy:only_builtin() then return end
  extended[policy] = true
  if definitions[kind] and definitions[kind].decide then
    ops.extend(E, kind, 1)
  else
    dispatch.want(kind)
  end
end

-- Enters from the engine; errors leave to the engine.
for kind = 0, #host.events - 1 do
  dispatch.entries[kind] = function (slot)
    st.kind, st.cur, st.stop, st.fault = kind, 0, false, nil
    local body = bodies[kind]
    if body then body(slot) end
    if drive.depth() > 0 and drive.abandon(0) then
      error('a rule yielded while it was sending', 0)
    end
  end
end

-- Nested deliveries; the caller keeps the state of the outer one.
function drive.deliver(kind)
  local body = bodies[kind]
  if not body then return end
  st.kind, st.cur, st.stop = kind, 0, false
  local definition = definitions[kind]
  body(definition.subject == 'packet' and current.packet or current.flow)
end

-- After an error reached the engine: the event and the place of the listener
-- that raised it, and whether the subject had been dropped or sent before.
-- A listener may have been stopped anywhere, in the library as well: what is
-- not set by each delivery is put back here.
function dispatch.fault(message)
  local fault = st.fault
  drive.abandon(0)
  context.scope = nil
  if fault and fault.message == message then return fault.kind, fault.cur, false end
  return st.kind, st.cur, st.stop
end

-- Where a listener was registered: `rules.lua:12`, and its name.
function dispatch.location(kind, place)
  local definition = definitions[kind]
  if not definition or not definition.event then return nil end
  local listener = connections:listeners(definition.event)[place]
  if listener then return listener.location, listener.name end
end

-- Takes a listener out of service after it used up the memory.
function dispatch.suspend(kind, place)
  local definition = definitions[kind]
  if not definition or not definition.event then return false end
  local listener = connections:listeners(definition.event)[place]
  if not listener or listener.fn == nothing then return false end
  listener.fn = nothing
  rebuild(kind)
  return true
end

return dispatch
