-- Delivery of the engine's events: one generated function per event.
--
-- The engine enters `entries[kind]` with the slot of the subject. What runs
-- then is source made from the list of listeners, unrolled, because a loop
-- over functions is five times slower once compiled; it is made again when
-- the list has changed. Which listener runs stands in `st.cur`; a drop or
-- send of the subject sets `st.stop`, which ends the delivery.

local host, lib = ...

local native, drive, context, watch = lib.native, lib.drive, lib.context.context, lib.watch
local sharing = lib.sharing
local st = native.st
local ops, E, current = host.ops, host.engine, host.current
local error, load, pairs, pcall, rawget, tostring, unpack =
  error, load, pairs, pcall, rawget, tostring, unpack
local concat, format, gsub = table.concat, string.format, string.gsub
local connections = context.connections

-- More functions than this in one chunk are more upvalues than Lua allows.
local CHUNK = 50

local dispatch = { entries = {} }

-- By kind: what `define` was given, and the function that runs now.
local definitions, bodies = {}, {}

-- Per form of event, how one listener is called: `$F` is the listener, `$L`
-- its registration.
local FORMS = {
  packet = '$F(a)',
  fault = '$F(a, b)',
  flow = '$F(a)',
  flow_packet = '$F(a, b)',
  flow_packet_direction = '$F(a, b, c)',
  -- `b` is the stream, `c` the direction, `d` the first new piece.
  flow_data = 'local data = sub(b, d) if data then $F(a, data, c) end',
  flow_streamed = 'streamed($F, $L, a, b, c, d)',
}

local function call_source(form, options, k)
  if form == 'flow_data' and options and options.streamed then form = 'flow_streamed' end
  local call = gsub(gsub(FORMS[form], '%$F', 'r' .. k), '%$L', 'l[' .. k .. ']')
  if not watch then return call end
  return format('local token = l.begin(l[%d].span, st.slot) %s l.done(token)', k, call)
end

-- Source that calls the listeners `from` to `to`, and their functions.
local function calls(form, list, from, to)
  local names, functions, listeners, lines = { 'l' }, {}, {}, {}
  functions[1] = listeners
  if watch then listeners.begin, listeners.done = watch.begin, watch.done end
  for i = from, to do
    local k = i - from + 1
    names[k + 1], functions[k + 1], listeners[k] = 'r' .. k, list[i].fn, list[i]
    if watch then watch.listener(list[i], i) end
    lines[k] = format('  st.cur = %d do %s end if st.stop then return end', i,
      call_source(form, list[i].options, k))
  end
  return concat(names, ', '), concat(lines, '\n'), functions
end

local function compile(source, ...)
  return load(source, '=[wero]/dispatch', 't')(...)
end

-- A function that calls the listeners `from` to `to`.
local function chunk(form, list, from, to)
  local names, lines, functions = calls(form, list, from, to)
  return compile(format('local st, sub, streamed, %s = ...\nreturn function (a, b, c, d)\n%s\nend',
    names, lines), st, lib.flow_data.sub, lib.flow_data.streamed, unpack(functions, 1, to - from + 2))
end

-- All chunks of a long list as one function.
local function chunks(form, list, count)
  local parts = {}
  for from = 1, count, CHUNK do
    parts[#parts + 1] = chunk(form, list, from, from + CHUNK - 1 < count and from + CHUNK - 1 or count)
  end
  return function (a, b, c, d)
    for i = 1, #parts do
      parts[i](a, b, c, d)
      if st.stop then return end
    end
  end
end

-- Runs listeners that were added since `list` had `count` of them.
local function run_late(form, list, count, a, b, c, d)
  while not st.stop and #list > count do
    chunk(form, list, count + 1, count + 1)(a, b, c, d)
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
      local token = watch and watch.begin(watch.listener(listeners[k]), st.slot)
      event.signal(dynamic:callee(listeners[k]), listeners[k].options, a, ...)
      if token then watch.done(token) end
      if st.stop then return end
      k = k + 1
    end
    i = i + 1
  end
end

-- Delivers to the listeners of a flow with a scope of its own: dynamic
-- listeners come after the static ones, before what follows them.
local function scoped_delivery(definition, list)
  local event, form = definition.event, definition.form
  local before, after = definition.before, definition.after
  return function (scope, a, b, c, d)
    local previous = context.scope
    context.scope = scope
    local ok, message = pcall(function ()
      if before then before(a, b, c, d) end
      if not st.stop then run_late(form, list, 0, a, b, c, d) end
      if not st.stop and #scope._connections > 0 then
        st.cur = 0
        if form == 'flow_data' then
          local stream = b or lib.flow_data.opened()
          run_dynamic(event, scope, a, stream, lib.flow_data.iterator(stream, d), c)
        else
          run_dynamic(event, scope, a, b, c)
        end
      end
      if after and not st.stop then after(a, b, c, d) end
    end)
    context.scope = previous
    if not ok then error(message, 0) end
  end
end

-- One function per event, with no other of its kind: what the JIT compiler
-- knows of it then holds for this event alone.
local BODY = [[
local st, current, list, prepare, before, after, late, scoped, run, sub, streamed, rawget, $NAMES = ...
return function (slot)
  st.slot, st.flow = $SUBJECT
  local a, b, c, d = prepare(slot)
  $SCOPED
  $BEFORE
$CALLS
  if #list > $COUNT then late(slot) end
  $AFTER
end
]]

-- The function that gives the listeners' arguments.
local function prepare_of(kind, again)
  local definition = definitions[kind]
  if not definition.make then return definition.prepare end
  local prepare = definition.make(sharing.constructors(kind, definition.shows, again))
  return prepare
end

-- Makes the function that delivers an event to all who listen now.
local function build(kind)
  local definition = definitions[kind]
  local form, before, after = definition.form, definition.before, definition.after
  local list = connections:listeners(definition.event)
  local count = #list
  local names, lines, functions = 'none', '', {}
  if count > CHUNK then
    lines = '  run(a, b, c, d) if st.stop then return end'
  elseif count > 0 then
    names, lines, functions = calls(form, list, 1, count)
  end
  local flow = definition.subject == 'flow'
  local source = gsub(BODY, '%$(%u+)', {
    NAMES = names, CALLS = lines, COUNT = tostring(count),
    SUBJECT = flow and 'current.packet, slot' or 'slot, -1',
    SCOPED = flow and "local scope = rawget(a, '_scope') if scope then return scoped(scope, a, b, c, d) end" or '',
    BEFORE = before and 'before(a, b, c, d) if st.stop then return end' or '',
    AFTER = after and 'st.cur = 0 if not st.stop then after(a, b, c, d) end' or '',
  })
  -- Listeners that came just now may keep what the others only read.
  local function late(slot)
    run_late(form, list, count, prepare_of(kind, true)(slot))
  end
  return compile(source, st, current, list, prepare_of(kind), before, after, late,
    flow and scoped_delivery(definition, list), count > CHUNK and chunks(form, list, count),
    lib.flow_data.sub, lib.flow_data.streamed, rawget, unpack(functions, 1, count + 1))
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
  elseif definition.subject == 'script' then
    return function (number)
      st.slot, st.flow = -1, -1
      decide(number)
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
    if watch then body = watch.event(kind, body) end
    bodies[kind] = body
    return body(slot)
  end
end

sharing.on_change(function ()
  for kind, definition in pairs(definitions) do
    if definition.make then rebuild(kind) end
  end
end)

-- Tells the engine whether an event has to be raised.
local function update_hook(kind)
  local definition = definitions[kind]
  if not definition or not definition.event then return end
  local listeners = connections:listeners(definition.event)
  if definition.shows then
    sharing.update(kind, definition.shows, listeners, definition.wanted == true)
  end
  local heard = #listeners > 0 or definition.wanted == true
  if heard ~= definition.heard then
    definition.heard = heard
    ops.hook(E, kind, heard and 1 or 0)
  end
end

-- Announces how an event of the engine is delivered: `subject`, packet or
-- flow, or `script` (neither); `event`, with `form` and `prepare(slot)`, which
-- gives the listeners' arguments; `shows`, the rows of `sharing`, and
-- `make(...)`, which makes `prepare` of their constructors; `before` and
-- `after`, which run around the listeners; or `decide(slot)` for a policy.
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
    rebuild(kind)
    update_hook(kind)
  end
end

function host.hooked(kind)
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
  sharing.mix()
  if definitions[kind] and definitions[kind].decide then
    ops.extend(E, kind, 1)
  else
    dispatch.want(kind)
  end
end

-- Enters from the engine; errors leave to the engine. Each is a function of
-- its own for the JIT compiler's sake.
local ENTRY = [[
local st, bodies, drive, error = ...
return function (slot)
  st.kind, st.cur, st.stop, st.fault = $KIND, 0, false, nil
  bodies[$KIND](slot)
  if drive.depth() > 0 and drive.abandon(0) then
    error('a rule yielded while it was sending', 0)
  end
end
]]

local function nothing() end

for kind = 0, #host.events - 1 do
  bodies[kind] = nothing
  dispatch.entries[kind] = compile(gsub(ENTRY, '%$KIND', tostring(kind)), st, bodies, drive, error)
end

-- Nested deliveries; the caller keeps the state of the outer one.
function drive.deliver(kind)
  local body = bodies[kind]
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
  lib.state_instance.interrupted()
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

-- Goes on behind a listener that failed, where the packet shall pass all the
-- same.
function dispatch.resume(kind, place, slot)
  local definition = definitions[kind]
  if not definition or not definition.event then return end
  local flow = definition.subject == 'flow'
  st.kind, st.cur, st.stop, st.fault = kind, place, false, nil
  st.slot, st.flow = flow and current.packet or slot, flow and slot or -1
  local a, b, c, d = prepare_of(kind, true)(slot)
  local list = connections:listeners(definition.event)
  while place < #list and not st.stop do
    place = place + 1
    st.cur = place
    chunk(definition.form, list, place, place)(a, b, c, d)
  end
  if not st.stop and definition.after then
    st.cur = 0
    definition.after(a, b, c, d)
  end
end

-- Takes a listener out of service that used up its memory or time.
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
